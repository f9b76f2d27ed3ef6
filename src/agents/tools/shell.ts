/**
 * The tool that runs shell commands over copies of the agent's files. Owns: copying in and back.
 * Refuses to know: how commands run.
 */
import { z } from "zod";
import { AppError } from "../../kernel/errors.ts";
import type { Workspaces } from "../workspace.ts";
import type { ShellSandbox } from "./shell-sandbox.ts";
import type { ShellAnswer } from "./shell-worker.ts";
import { defineTool, type Tool, type ToolContext } from "./tool.ts";

const COPIED_FILES = 2_000;
const COPIED_BYTES = 16 * 1024 * 1024;

/** The tool over a sandbox. */
export function makeShell(workspaces: Workspaces, sandbox: ShellSandbox): Tool {
  return defineTool({
    name: "shell",
    label: "Run a command",
    description:
      "Run a bash command over the workspace's files (coreutils, grep, sed, awk, jq and the like; no network, no programs of the host). Changed files are saved.",
    group: "runtime",
    risk: "high",
    params: z.object({ command: z.string().min(1).max(20_000) }),
    isIdempotent: false,
    title: (args) => `Run ${String(args["command"]).slice(0, 80)}`,
    async run({ command }, context) {
      const files = await copyIn(workspaces, context);
      const answer = await sandbox.run(context.scope.tenantId, command, files, context.signal);
      const problems = await copyBack(workspaces, context, answer);
      const tail = [answer.exitCode === 0 ? "" : `[exit code ${answer.exitCode}]`, ...problems];
      return [answer.output, ...tail].filter((line) => line !== "").join("\n") || "(no output)";
    },
  });
}

async function copyIn(
  workspaces: Workspaces,
  { scope, agent, signal }: ToolContext,
): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  let room = COPIED_BYTES;
  for (const file of await workspaces.walk(scope, agent.id, COPIED_FILES)) {
    signal.throwIfAborted();
    if (file.sizeBytes > room) continue;
    // What cannot be read through the jail is not there for the command either.
    const bytes = await workspaces.read(scope, agent.id, file.path).catch(() => undefined);
    if (bytes === undefined) continue;
    room -= bytes.length;
    files.set(file.path, bytes);
  }
  return files;
}

/** Save what changed, through the jail; says what could not be saved. */
async function copyBack(
  workspaces: Workspaces,
  { scope, agent }: ToolContext,
  answer: ShellAnswer,
): Promise<string[]> {
  const problems: string[] = [];
  for (const [path, bytes] of answer.changes) {
    try {
      if (bytes === null) await workspaces.removeFile(scope, agent.id, path);
      else await workspaces.write(scope, agent.id, path, Buffer.from(bytes));
    } catch (thrown) {
      if (!(thrown instanceof AppError)) throw thrown;
      problems.push(`[not saved: ${thrown.publicMessage}]`);
      if (problems.length >= 10) break;
    }
  }
  return problems;
}
