/**
 * The longest time Creel's main thread did not come round, from its own metrics. Owns: reading that one number with the
 * operator's credential. Refuses to know: the other metrics.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Creel } from "../clients/creel.ts";

/** Longest event-loop delay since the last call, milliseconds; NaN when the server does not say. */
export async function stallMs(creel: Creel): Promise<number> {
  const token = (await readFile(join(creel.stateDir, "metrics-token"), "utf8")).trim();
  const answer = await fetch(`http://127.0.0.1:${creel.port}/metrics`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const found = /^creel_event_loop_delay_max_seconds ([\d.e+-]+)$/m.exec(await answer.text());
  return answer.ok && found ? Number(found[1]) * 1000 : Number.NaN;
}
