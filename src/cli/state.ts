/**
 * A deployment's state as the commands open it, also beside a running server. Owns: where its parts are.
 * Refuses to know: commands. The files are shared with the server through SQLite's own locks.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { recordTenantAct } from "../audit/tenant-acts.ts";
import { type Auth, makeAuth } from "../auth/auth.ts";
import { systemClock } from "../kernel/clock.ts";
import { AppError } from "../kernel/errors.ts";
import { SqliteDatabases } from "../storage/database.sqlite.ts";
import type { Database } from "../storage/database.ts";
import { TenantDoor } from "../tenancy/scoped.ts";
import { Tenants } from "../tenancy/tenants.ts";
import { loadMasterKey, Vault } from "../tenancy/vault.ts";

const MIGRATIONS_DIRECTORY = fileURLToPath(new URL("../../migrations", import.meta.url));

/** The control database, below the state folder. */
export const CONTROL_FILE = "control.db";
/** The master key, below the state folder. */
export const MASTER_KEY_FILE = "master-key";
/** Written by a running server: `{url}`. */
const SERVER_FILE = "server.json";

const DEFAULT_URL = "http://127.0.0.1:18789";
const SERVER = z.object({ url: z.url({ protocol: /^https?$/ }) });

/** An open deployment. */
export interface State {
  directory: string;
  databases: SqliteDatabases;
  control: Database;
  tenants: Tenants;
  door: TenantDoor;
  vault: Vault;
  auth: Auth;
}

/**
 * Open the state, do the work, close the state. Throws `not_found` when there is none, unless `isNew` allows to make
 * one.
 */
export async function withState<T>(
  directory: string,
  work: (state: State) => Promise<T>,
  isNew = false,
): Promise<T> {
  if (!existsSync(join(directory, CONTROL_FILE))) {
    if (!isNew) {
      throw new AppError(
        "not_found",
        `There is no Creel state in ${directory}. Start the server once, make a tenant, or give --state-dir.`,
      );
    }
    await mkdir(directory, { recursive: true, mode: 0o700 });
  } else if (!existsSync(join(directory, MASTER_KEY_FILE))) {
    // A new key would make every token, session and secret worthless without a word.
    throw new AppError("tenant_unavailable", `${MASTER_KEY_FILE} is missing; restore it from a backup.`);
  }
  const masterKey = await loadMasterKey(join(directory, MASTER_KEY_FILE));
  const databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS_DIRECTORY });
  try {
    const control = databases.open("control", join(directory, CONTROL_FILE), "control");
    const tenants = new Tenants(control, systemClock, recordTenantAct);
    const auth = makeAuth({ control, tenants, clock: systemClock, masterKey });
    return await work({
      directory,
      databases,
      control,
      tenants,
      door: new TenantDoor(databases, directory),
      vault: new Vault(masterKey),
      auth,
    });
  } finally {
    await databases.close();
  }
}

/** Where the server is reached: what a running one wrote down, else the default address. */
export async function serverUrl(directory: string): Promise<string> {
  try {
    const written: unknown = JSON.parse(await readFile(join(directory, SERVER_FILE), "utf8"));
    return SERVER.parse(written).url.replace(/\/+$/, "");
  } catch {
    return DEFAULT_URL;
  }
}
