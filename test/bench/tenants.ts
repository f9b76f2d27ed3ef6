/** Many tenants for a benchmark. Owns: making them beside the running server. Refuses to know: what they are for. */
import { join } from "node:path";
import type { Creel } from "../clients/creel.ts";
import { run } from "../clients/openclaw.ts";
import type { Target } from "../clients/target.ts";

/** Makes `count` tenants named after `prefix`, each with an owner token; `plan` puts them on one. */
export async function createTenants(
  creel: Creel,
  prefix: string,
  count: number,
  plan = "",
): Promise<Target[]> {
  const script = join(import.meta.dirname, "make-tenants.ts");
  const done = await run(process.execPath, [script, creel.stateDir, prefix, String(count), plan], {
    cwd: import.meta.dirname,
    timeoutMs: 600_000,
  });
  const lines = done.stdout.trim().split("\n");
  if (done.code !== 0 || lines.length !== count)
    throw new Error(`made ${lines.length} of ${count}: ${done.stderr}`);
  const door = creel.targets[0] as Target;
  return lines.map((line) => {
    const [name = "", token = ""] = line.split(" ");
    return { ...door, name, token };
  });
}
