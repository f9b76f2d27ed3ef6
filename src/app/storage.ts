/** What tenants keep: its count, its limits, its warnings. Owns: their joining. Refuses to know: who writes, who pays. */
import type { WorkspaceRoom } from "../agents/workspace.ts";
import type { AlertOutbox } from "../billing/notices/alert-outbox.ts";
import type { TenantPlans } from "../billing/plans/tenant-plans.ts";
import { StorageAlerts } from "../billing/storage/storage-alerts.ts";
import { StorageCounts } from "../billing/storage/storage-counts.ts";
import { StorageLimits } from "../billing/storage/storage-limits.ts";
import type { EventHub } from "../events/hub.ts";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { Database } from "../storage/database.ts";
import type { TenantDoor } from "../tenancy/scoped.ts";

/** The parts, put together. */
export type Storage = ReturnType<typeof makeStorage>;

/** What they stand on. */
export interface StorageGround {
  control: Database;
  door: TenantDoor;
  plans: TenantPlans;
  hub: EventHub;
  outbox: AlertOutbox;
  clock: Clock;
  log: Log;
}

/** Count, limits and warnings of what tenants keep. */
export function makeStorage(ground: StorageGround) {
  const { control, door, plans, hub, outbox, clock, log } = ground;
  const counts = new StorageCounts({ control, door, clock, log });
  const alerts = new StorageAlerts({
    ...{ control, counts, hub, clock, log },
    leave: (tenantId, { level, period, limitBytes, usedBytes, atMs }) =>
      outbox.statements({
        ...{ tenantId, atMs, type: "creel.storage.alert.v1", key: `${period}\n${level}` },
        facts: { level, period, limitBytes, usedBytes },
      }),
  });
  const limits = new StorageLimits({ counts, plans, alerts });
  const room: WorkspaceRoom = {
    take: (scope, growBytes) => limits.hold(scope, growBytes, "files"),
    note: ({ tenantId }, changedBytes) => counts.note(tenantId, changedBytes),
  };
  return {
    ...{ counts, limits, room },
    close: async () => {
      alerts.close();
      await counts.close();
    },
  };
}
