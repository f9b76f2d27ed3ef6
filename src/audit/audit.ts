/**
 * All parts of audit, put together. Owns: that they share one log, and the order of their start and end.
 * Refuses to know: transports; who hands records in.
 */
import { readFile } from "node:fs/promises";
import type { Clock } from "../kernel/clock.ts";
import type { Log } from "../kernel/log.ts";
import type { Method } from "../protocol/methods.ts";
import type { Route } from "../protocol/routes.ts";
import type { Database } from "../storage/database.ts";
import type { TenantDoor } from "../tenancy/scoped.ts";
import type { Tenants } from "../tenancy/tenants.ts";
import { HeadKeeper, type HeadKeys, type HeadSigner, makeHeadReader } from "./heads.ts";
import { AuditLog, type LogOf } from "./log.ts";
import { makeAuditMethods } from "./methods.ts";
import { Acts } from "./recording/acts.ts";
import { Denials } from "./recording/denials.ts";
import { AuditMover } from "./recording/mover.ts";
import { makeAuditRoutes } from "./routes.ts";

/** What audit is built from. */
export interface AuditOptions {
  control: Database;
  tenants: Tenants;
  door: TenantDoor;
  clock: Clock;
  log: Log;
  signer: HeadSigner;
  keys: HeadKeys;
  /** The offline verifier, a file. */
  verifierFile: string;
}

/** The parts of audit. */
export interface Audit {
  log: AuditLog;
  mover: AuditMover;
  heads: HeadKeeper;
  denials: Denials;
  acts: Acts;
  methods: Method[];
  routes: Route[];
  /** Move what waits, then work in the background. */
  start(): Promise<void>;
  /** Write down and move what is left; before the databases are closed. */
  close(): Promise<void>;
}

/** Put audit together. Reads and writes nothing yet. */
export function makeAudit(options: AuditOptions): Audit {
  const { control, tenants, door, clock, keys } = options;
  const log = new AuditLog(control);
  const shared = { log, clock, logger: options.log };
  const heads = new HeadKeeper({ ...shared, signer: options.signer });
  const onAppended = (of: LogOf) => heads.note(of);
  const mover = new AuditMover({ control, tenants, door, clock, log: options.log, onAppended });
  const denials = new Denials({ ...shared, onAppended });
  const acts = new Acts({ ...shared, control, onAppended });
  const verifier = () => readFile(options.verifierFile, "utf8");
  const readHead = makeHeadReader(keys);
  return {
    ...{ log, mover, heads, denials, acts },
    methods: makeAuditMethods({ log, mover }),
    routes: makeAuditRoutes({ log, mover, heads, readHead, verifier, clock }),
    async start() {
      await mover.start();
      heads.start();
    },
    async close() {
      await denials.close();
      await heads.close();
      await mover.close();
    },
  };
}
