/** Which file has which command. Owns: loading no more of them than are needed. Refuses to know: what commands do. */
import type { Command } from "./command.ts";

/**
 * Where commands are, by the first words of their names. Loaded when one of them is called: a server has no use for them,
 * and all together take longer to load than most take to run.
 */
export const COMMAND_SOURCES: readonly { words: readonly string[]; load(): Promise<readonly Command[]> }[] = [
  {
    words: ["tenant", "migrate"],
    load: async () => (await import("./tenants/tenant-commands.ts")).TENANT_COMMANDS,
  },
  {
    words: ["tenant"],
    load: async () => (await import("./tenants/lifecycle-commands.ts")).LIFECYCLE_COMMANDS,
  },
  { words: ["operator"], load: async () => (await import("./operator-commands.ts")).OPERATOR_COMMANDS },
  {
    words: ["member", "invite", "login-link"],
    load: async () => (await import("./people-commands.ts")).PEOPLE_COMMANDS,
  },
  {
    words: ["token", "member", "key"],
    load: async () => (await import("./credential-commands.ts")).CREDENTIAL_COMMANDS,
  },
  { words: ["audit"], load: async () => (await import("./audit-commands.ts")).AUDIT_COMMANDS },
  { words: ["billing"], load: async () => (await import("./billing-commands.ts")).BILLING_COMMANDS },
  {
    words: ["usage", "billing"],
    load: async () => (await import("./usage-commands.ts")).USAGE_COMMANDS,
  },
  { words: ["doctor"], load: async () => [(await import("./doctor.ts")).DOCTOR] },
];

/** Commands whose names begin with this word, or all. */
export async function loadCommands(word?: string): Promise<readonly Command[]> {
  const wanted = COMMAND_SOURCES.filter(({ words }) => word === undefined || words.includes(word));
  return (await Promise.all(wanted.map(({ load }) => load()))).flat();
}
