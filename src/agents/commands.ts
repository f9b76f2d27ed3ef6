/**
 * Words that begin with a slash. Owns: their names and descriptions, in OpenClaw's CommandEntry shape.
 * Refuses to know: what they do (chat does).
 */

/** One command as clients list it. */
export interface CommandEntry {
  name: string;
  nativeName: string;
  textAliases: string[];
  description: string;
  category: "session" | "options" | "status";
  source: "native";
  scope: "both";
  acceptsArgs: boolean;
  args?: { name: string; description: string; type: "string"; required?: boolean }[];
}

/** Every command there is. */
export const COMMANDS: readonly CommandEntry[] = [
  entry("help", "Show available commands.", "status"),
  entry("new", "Start a new conversation.", "session"),
  entry("reset", "Forget this conversation and start anew.", "session"),
  entry("stop", "Stop the current run.", "session"),
  entry("status", "Show model, tokens and state of this conversation.", "status"),
  {
    ...entry("model", "Show or choose the model of this conversation.", "options"),
    acceptsArgs: true,
    args: [{ name: "model", description: "provider/model; nothing shows the choices", type: "string" }],
  },
];

function entry(name: string, description: string, category: CommandEntry["category"]): CommandEntry {
  return {
    name,
    nativeName: name,
    textAliases: [`/${name}`],
    description,
    category,
    source: "native",
    scope: "both",
    acceptsArgs: false,
  };
}
