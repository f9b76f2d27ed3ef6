/**
 * Auth over a real control.db in a temporary folder, with a clock that tests move. Owns: making and removing it.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { recordTenantAct } from "#src/audit/tenant-acts.ts";
import { type Auth, makeAuth } from "#src/auth/auth.ts";
import type { AttemptLimits } from "#src/auth/guard/attempts.ts";
import type { Clock } from "#src/kernel/clock.ts";
import { SqliteDatabases } from "#src/storage/database.sqlite.ts";
import type { Database } from "#src/storage/database.ts";
import { TenantDoor } from "#src/tenancy/scoped.ts";
import { Tenants } from "#src/tenancy/tenants.ts";

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  private wallMs = 1_800_000_000_000;
  private monoMs = 1_000_000;

  nowMs(): number {
    return this.wallMs;
  }

  monotonicMs(): number {
    return this.monoMs;
  }

  after() {
    return { cancel() {} };
  }

  every() {
    return { cancel() {} };
  }

  /** Let time pass. */
  pass(ms: number): void {
    this.wallMs += ms;
    this.monoMs += ms;
  }

  /** Set the wall clock, as an administrator would. */
  setWall(ms: number): void {
    this.wallMs = ms;
  }
}

/** Auth and what it stands on. */
export interface AuthWorld {
  auth: Auth;
  control: Database;
  tenants: Tenants;
  door: TenantDoor;
  clock: ManualClock;
  masterKey: Buffer;
  /** The same files seen by another process: other caches, other memory. */
  another(): Auth;
  close(): Promise<void>;
}

/** Patience that no test reaches unless it is about patience. */
const ENDLESS: AttemptLimits = {
  freeFailures: 1_000_000,
  firstWaitMs: 1_000,
  longestWaitMs: 60_000,
  forgetMs: 60_000,
  remembered: 1_000,
};

/** Make a world; close it after the test. */
export async function startAuthWorld(attemptLimits: AttemptLimits = ENDLESS): Promise<AuthWorld> {
  const directory = await mkdtemp(join(tmpdir(), "creel-auth-"));
  const databases = new SqliteDatabases({
    migrationsDirectory: new URL("../../migrations", import.meta.url).pathname,
  });
  const control = databases.open("control", join(directory, "control.db"), "control");
  const clock = new ManualClock();
  const tenants = new Tenants(control, clock, recordTenantAct);
  const masterKey = randomBytes(32);
  const another = () => makeAuth({ control, tenants, clock, masterKey, attemptLimits });
  return {
    auth: another(),
    control,
    tenants,
    door: new TenantDoor(databases, directory),
    clock,
    masterKey,
    another,
    async close() {
      await databases.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
