/**
 * Sealed secrets of one tenant. Owns: the tenant's data key (wrapped by the master key) and sealing with it.
 * Refuses to know: what the secrets open. A secret of one tenant cannot be opened under another, even by mistake:
 * the keys differ and the tenant id is authenticated.
 */
import { randomBytes } from "node:crypto";
import { constants, link, mkdir, open, readdir, readFile, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { deriveKey, seal, unseal } from "../kernel/crypto.ts";
import { AppError } from "../kernel/errors.ts";
import { newId, newSecret } from "../kernel/ids.ts";
import { assertTenant } from "./context.ts";
import type { TenantScope } from "./scoped.ts";

/** Seals and opens texts for tenants. */
export class Vault {
  private readonly wrappingKey: Buffer;

  /** @param masterKey at least 32 bytes, kept outside of the tenants' folders */
  constructor(masterKey: Uint8Array) {
    if (masterKey.length < 32) throw new Error("the master key must have at least 32 bytes");
    this.wrappingKey = deriveKey(masterKey, "creel/tenant-key/v1");
  }

  /** Seal a secret; `name` says what it is and must be given again to open it. */
  async seal(scope: TenantScope, name: string, plain: string): Promise<string> {
    assertTenant(scope.tenantId);
    return seal(await this.tenantKey(scope), plain, `${scope.tenantId}/${name}`);
  }

  /** Open what `seal` made for the same tenant and name; throws `tenant_unavailable` when the keys do not fit. */
  async open(scope: TenantScope, name: string, sealed: string): Promise<string> {
    assertTenant(scope.tenantId);
    const key = await this.tenantKey(scope);
    try {
      return unseal(key, sealed, `${scope.tenantId}/${name}`);
    } catch (cause) {
      throw new AppError("tenant_unavailable", "A stored secret cannot be opened.", { cause });
    }
  }

  /**
   * Destroy the tenant's key: overwritten, removed, and the removal flushed, so that nothing sealed can be opened again,
   * also not with the master key or from this disk's other files. Repeatable.
   */
  async destroyKey(scope: Pick<TenantScope, "credentialsDirectory">): Promise<void> {
    const folder = scope.credentialsDirectory();
    const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
      throw error;
    });
    // A draft that a crash left behind is the same file under another name.
    const keys = names.filter((name) => name === "data-key" || name.startsWith("data-key."));
    for (const name of keys) await overwrite(join(folder, name));
    for (const name of keys) await unlink(join(folder, name));
    if (keys.length > 0) await flushFolder(folder);
  }

  private async tenantKey(scope: TenantScope): Promise<Buffer> {
    const path = join(scope.credentialsDirectory(), "data-key");
    const wrapped = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (wrapped !== undefined) return this.unwrap(scope, wrapped);
    const fresh = seal(this.wrappingKey, randomBytes(32).toString("base64url"), `${scope.tenantId}/data-key`);
    await writeOnce(path, fresh);
    // Two makers may race; whoever's file is there counts.
    return this.unwrap(scope, await readFile(path, "utf8"));
  }

  private unwrap(scope: TenantScope, wrapped: string): Buffer {
    try {
      return Buffer.from(unseal(this.wrappingKey, wrapped, `${scope.tenantId}/data-key`), "base64url");
    } catch (cause) {
      throw new AppError("tenant_unavailable", "The tenant's key cannot be opened with this master key.", {
        cause,
      });
    }
  }
}

/** Write a file that must not exist yet, durably and whole; an existing one is left as it is. */
async function writeOnce(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${newId()}`;
  const handle = await open(draft, "wx", 0o600);
  try {
    await handle.writeFile(text);
    await handle.sync();
  } finally {
    await handle.close();
  }
  // A link never replaces: of two makers one wins, and nobody ever sees half a file.
  await link(draft, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
  await unlink(draft);
  await flushFolder(dirname(path));
}

async function overwrite(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  try {
    const { size } = await handle.stat();
    await handle.write(randomBytes(size), 0, size, 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function flushFolder(path: string): Promise<void> {
  const folder = await open(path, "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/**
 * Read or make the master key of a deployment: 32 random bytes in a file only its owner can read.
 * @param isNew whether a key may be made: with data there already, a new key would open none of it
 */
export async function loadMasterKey(path: string, isNew = true): Promise<Buffer> {
  const existing = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (existing === undefined && !isNew) {
    throw new AppError("tenant_unavailable", `The master key ${path} is missing; restore it from a backup.`);
  }
  if (existing === undefined) {
    await writeOnce(path, randomBytes(32).toString("base64url"));
    return loadMasterKey(path);
  }
  const key = Buffer.from(existing.trim(), "base64url");
  if (key.length < 32) {
    throw new AppError("internal", `The master key in ${path} is too short; restore it from a backup.`);
  }
  return key;
}

/** Read or make a token of the deployment, e.g. the one that scrapers show: text in a file only its owner can read. */
export async function loadToken(path: string): Promise<string> {
  const existing = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (existing !== undefined && existing.trim().length >= 32) return existing.trim();
  if (existing !== undefined)
    throw new AppError("internal", `The token in ${path} is too short; delete the file to renew it.`);
  await writeOnce(path, newSecret());
  return loadToken(path);
}
