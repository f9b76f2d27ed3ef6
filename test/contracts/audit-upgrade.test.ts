/** A tenant from before the audit log: what its agents did is numbered in order, and its log begins. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { listActivity } from "#src/audit/activity.ts";
import { appendStatement } from "#src/audit/chain.ts";
import { verifyChain } from "#src/audit/verify.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { TenantScope } from "#src/tenancy/scoped.ts";
import { MIGRATIONS, record } from "../support/audit-world.ts";

const folder = mkdtempSync(join(tmpdir(), "creel-upgrade-"));
const old = join(folder, "migrations");
const path = join(folder, "tenant.db");

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(id: string, state: string, channel: string, startedMs: number | null, endedMs: number | null) {
  return {
    sql: `INSERT INTO runs (run_id, input_hash, session_key, session_id, agent_id, user_id, channel, state, settings,
      accepted_at_ms, started_at_ms, ended_at_ms) VALUES (?, '', 'agent:main:main', 's', 'main', 'u', ?, ?, '{}', 1, ?, ?)`,
    params: [id, channel, state, startedMs, endedMs],
  };
}

it("keeps the order of what was done before, without commands and inputs that never ran", async () => {
  for (const kind of ["control", "tenant"]) {
    mkdirSync(join(old, kind), { recursive: true });
    for (const name of readdirSync(join(MIGRATIONS, kind)).filter((one) => one < "0005"))
      cpSync(join(MIGRATIONS, kind, name), join(old, kind, name));
  }
  const before = new SqliteDatabases({ migrationsDirectory: old });
  const outcome = await before.open("tenant", path, "t").write({
    statements: [
      run("second", "failed", "api", 40, 60),
      run("first", "done", "webchat", 10, 30),
      run("typed", "done", "command", null, 20),
      run("waits", "queued", "api", null, null),
      run("open", "running", "api", 70, null),
      {
        sql: `INSERT INTO run_steps VALUES ('first', 1, 'call-1', 'read', '', 1, 'done', 15, 25),
          ('open', 1, 'call-2', 'read', '', 1, 'intent', 75, NULL)`,
      },
    ],
  });
  expect(outcome.committed).toBe(true);
  await before.close();

  const databases = new SqliteDatabases({ migrationsDirectory: MIGRATIONS });
  const db = databases.open("tenant", path, "t");
  const scope = { tenantId: "t", db } as unknown as TenantScope;
  const { events } = await listActivity(scope, { limit: 100 });
  expect(events.toReversed().map((event) => [event["runId"], event["action"], event["status"]])).toEqual([
    ["first", "agent.run.started", "started"],
    ["first", "tool.action.started", "started"],
    // Nothing was measured about it, so nothing is claimed.
    ["first", "tool.action.finished", "unknown"],
    ["first", "agent.run.finished", "succeeded"],
    ["second", "agent.run.started", "started"],
    ["second", "agent.run.finished", "failed"],
    ["open", "agent.run.started", "started"],
    ["open", "tool.action.started", "started"],
  ]);
  await db.write({
    statements: [
      {
        sql: "UPDATE runs SET state = 'aborted', stop_reason = 'timeout', ended_at_ms = 90 WHERE run_id = 'open'",
      },
      appendStatement(record(1)),
    ],
  });
  const [newest] = (await listActivity(scope, { limit: 1 })).events;
  expect(newest).toMatchObject({
    status: "timed_out",
    errorCode: "run_timed_out",
    sequence: 9,
    sourceSequence: 3,
  });
  expect(await verifyChain(db, "t")).toMatchObject({ ok: true, checked: 1 });
  await databases.close();
});
