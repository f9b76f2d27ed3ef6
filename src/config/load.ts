/**
 * Reading settings: defaults < file < environment < flags. Owns: that order, the file's syntax, looking up secrets.
 * Refuses to know: what settings do.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import json5 from "json5";
import type { z } from "zod";
import { AppError } from "../kernel/errors.ts";
import { type Config, OPTIONS, type Option } from "./options.ts";

/** Where settings come from. */
export interface ConfigSources {
  env: Readonly<Record<string, string | undefined>>;
  /** Flag values by name without dashes. */
  flags: Readonly<Record<string, string | undefined>>;
}

/** The settings and the file they were read from, if there is one. */
export interface LoadedConfig {
  config: Config;
  file: string | null;
}

/** Read all settings; throws `invalid_request` naming the setting, its source and what is wrong. */
export function loadConfig(sources: ConfigSources): LoadedConfig {
  const stateDir =
    sources.flags["state-dir"] ??
    sources.env["OPENCLAW_STATE_DIR"] ??
    OPTIONS.stateDir.schema.parse(undefined);
  const asked = sources.flags["config"] ?? sources.env["CREEL_CONFIG"];
  const path = resolve(asked ?? join(stateDir, "creel.json5"));
  const file = readFile(path, asked !== undefined);
  const entries = Object.entries(OPTIONS).map(([name, option]) => [name, read(option, sources, file)]);
  const config = Object.fromEntries(entries) as Config;
  return {
    config: {
      ...config,
      stateDir: resolve(config.stateDir),
      providers: resolveKeys(config.providers, sources.env),
      signInProviders: resolveSecrets(config.signInProviders, sources.env),
      usageExport: resolveAt("billing.export", config.usageExport, sources.env),
      alertHook: resolveAt("billing.alertHook", config.alertHook, sources.env),
      stripe: resolveAt("payments.stripe", config.stripe, sources.env),
      alipay: resolveAt("payments.alipay", config.alipay, sources.env),
    },
    file: file === undefined ? null : path,
  };
}

function readFile(path: string, isRequired: boolean): unknown {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    if (!isRequired && (cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new AppError("invalid_request", `The configuration file ${path} cannot be read.`, { cause });
  }
  try {
    return json5.parse(text);
  } catch (cause) {
    const where = cause instanceof Error ? cause.message : "";
    throw new AppError("invalid_request", `The configuration file ${path} is not valid JSON5: ${where}`, {
      cause,
    });
  }
}

function read(option: Option, sources: ConfigSources, file: unknown): unknown {
  const flag = option.flag === undefined ? undefined : sources.flags[option.flag];
  const env = option.env === undefined ? undefined : sources.env[option.env];
  const given = flag ?? (env === "" ? undefined : env) ?? atPath(file, option.path);
  const parsed = option.schema.safeParse(given);
  if (parsed.success) return parsed.data;
  const source = flag !== undefined ? `--${option.flag}` : env !== undefined ? option.env : option.path;
  throw new AppError("invalid_request", `${source}: ${problem(parsed.error)}.`);
}

function problem(error: z.ZodError): string {
  const issue = error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? "" : `${issue.path.join(".")} `;
  return `${where}${issue?.message ?? "is not valid"}`;
}

function atPath(value: unknown, path: string): unknown {
  let at = value;
  for (const part of path.split(".")) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<string, unknown>)[part];
  }
  return at;
}

/** SECURITY: a reference that leads nowhere stops the start; an empty key would reach the provider as none. */
function resolveKeys(providers: Config["providers"], env: ConfigSources["env"]): Config["providers"] {
  return Object.fromEntries(
    Object.entries(providers).map(([id, provider]) => {
      const own = resolveKey(`models.providers.${id}`, provider, env);
      if (own.usage === undefined) return [id, own];
      return [id, { ...own, usage: resolveKey(`models.providers.${id}.usage`, own.usage, env) }];
    }),
  );
}

function resolveKey<Settings extends { apiKey?: Parameters<typeof lookUp>[0] | undefined }>(
  path: string,
  settings: Settings,
  env: ConfigSources["env"],
): Settings {
  if (settings.apiKey === undefined) return settings;
  const key = lookUp(settings.apiKey, env)?.trim() ?? "";
  if (key !== "") return { ...settings, apiKey: key };
  throw new AppError("invalid_request", `${path}.apiKey refers to a secret that is empty or missing.`);
}

/** Words that stand where a secret should be. */
const PLACEHOLDER = /^(?:undefined|null|none|secret|password|todo|x+|\*+|change.?me|your.*|<.*>)$/i;
const SECRET_CHARS = 16;

/** SECURITY: an empty or guessable secret would let anybody redeem codes; the start is refused (ATTACKS AU-20). */
function resolveSecrets(
  providers: Config["signInProviders"],
  env: ConfigSources["env"],
): Config["signInProviders"] {
  return Object.fromEntries(
    Object.entries(providers).map(([id, provider]) => {
      const secret = lookUp(provider.clientSecret, env)?.trim() ?? "";
      if (secret.length < SECRET_CHARS || PLACEHOLDER.test(secret)) {
        const what = secret === "" ? "is empty or missing" : "is a placeholder or too short";
        throw new AppError("invalid_request", `auth.providers.${id}.clientSecret ${what}.`);
      }
      return [id, { ...provider, clientSecret: secret }];
    }),
  );
}

const SECRET_FIELDS = new Set([
  "secret",
  "apiKey",
  "secretKey",
  "webhookSecret",
  "privateKey",
  "alipayPublicKey",
]);

/** SECURITY: with an empty or guessable secret anybody could report payments; the start is refused (ATTACKS QU-08). */
function resolveAt<Settings extends object | undefined>(
  path: string,
  settings: Settings,
  env: ConfigSources["env"],
): Settings {
  if (settings === undefined) return settings;
  const entries = Object.entries(settings).map(([name, value]) => {
    if (!SECRET_FIELDS.has(name)) return [name, value];
    const secret = lookUp(value, env)?.trim() ?? "";
    if (secret.length >= SECRET_CHARS && !PLACEHOLDER.test(secret)) return [name, secret];
    const what = secret === "" ? "is empty or missing" : "is a placeholder or too short";
    throw new AppError("invalid_request", `${path}.${name} ${what}.`);
  });
  return Object.fromEntries(entries) as Settings;
}

function lookUp(
  secret: NonNullable<Config["providers"][string]["apiKey"]>,
  env: ConfigSources["env"],
): string | undefined {
  if (typeof secret === "string") {
    const reference = /^\$\{([A-Z_][A-Z0-9_]*)\}$/.exec(secret);
    return reference === null ? secret : env[reference[1] ?? ""];
  }
  if (secret.source === "env") return env[secret.id];
  try {
    return readFileSync(secret.id, "utf8");
  } catch {
    return undefined;
  }
}
