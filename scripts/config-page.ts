/** docs/config.md and .env.example. Owns: how a setting is written for a reader. Refuses to know: how it is read. */
import { homedir } from "node:os";
import type { Option } from "#src/config/options.ts";
import { boundsText, cell, inputSchema, typeText } from "./schema-text.ts";

/** The page about all settings. */
export function renderConfig(options: readonly Option[]): string {
  return [
    "# Settings",
    "",
    "Generated from the option table by `npm run docs`; do not edit.",
    "",
    "A setting is looked for in this order, the later wins: its default, the configuration file, the environment, a flag",
    "of `creel serve`. The file is `creel.json5` in the state folder, or what `--config` or `CREEL_CONFIG` names.",
    "",
    "| Setting | Flag | Environment | Default |",
    "|---|---|---|---|",
    ...options.map(
      (option) =>
        `| [\`${option.path}\`](#${anchor(option.path)}) | ${flagText(option)} | ${envText(option)} | ${cell(defaultText(option))} |`,
    ),
    "",
    ...options.flatMap(renderOption),
  ].join("\n");
}

function renderOption(option: Option): string[] {
  const schema = inputSchema(option.schema);
  const bounds = boundsText(schema);
  const secret = option.isSecret === true ? " Shown only as set or not set." : "";
  return [
    `## ${option.path}`,
    "",
    `${option.doc}${secret}`,
    "",
    `Type: ${typeText(schema)}${bounds === "" ? "" : ` (${bounds})`} · Default: ${defaultText(option)}`,
    "",
  ];
}

/** The file that lists every environment variable, each switched off. */
export function renderEnvExample(options: readonly Option[]): string {
  const settable = options.filter((option) => option.env !== undefined);
  return [
    "# Environment of `creel serve`. Generated from the option table by `npm run docs`; do not edit.",
    "# Copy what you need; what is left out has its default. All settings: docs/config.md.",
    "",
    "# The configuration file; by default creel.json5 in the state folder.",
    "# CREEL_CONFIG=",
    "",
    ...settable.flatMap((option) => [`# ${option.doc}`, `# ${option.env}=${plainDefault(option)}`, ""]),
  ].join("\n");
}

function plainDefault(option: Option): string {
  const value = inputSchema(option.schema).default;
  if (option.isSecret === true || value === undefined || typeof value === "object") return "";
  return shortened(String(value));
}

function defaultText(option: Option): string {
  const value = inputSchema(option.schema).default;
  if (value === undefined) return "none";
  return `\`${shortened(typeof value === "string" ? value : JSON.stringify(value))}\``;
}

/** A default below the home folder is written as people know it, on every machine alike. */
function shortened(text: string): string {
  return text.startsWith(homedir()) ? `~${text.slice(homedir().length)}` : text;
}

function flagText(option: Option): string {
  return option.flag === undefined ? "" : `\`--${option.flag}\``;
}

function envText(option: Option): string {
  return option.env === undefined ? "" : `\`${option.env}\``;
}

function anchor(path: string): string {
  return path.replaceAll(/[^a-z0-9_-]/gi, "").toLowerCase();
}
