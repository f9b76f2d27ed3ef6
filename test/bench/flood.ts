/**
 * A tenant that asks for far more than it may: small frames, calls that cost the server work, large payloads, some of them
 * JSON that takes long to parse, and one connection that never reads what it asked for. Owns: the pace. Refuses to know: what is answered.
 *
 * `node test/bench/flood.ts <ws url> <token> <requests a second>`, until it is killed.
 */
import { Wire } from "./wire.ts";

const [wsUrl = "", token = "", perSecond = "500"] = process.argv.slice(2);
const CONNECTIONS = 8;
const TICK_MS = 10;
const LARGE = "x".repeat(256 * 1024);
/** Two megabytes of empty lists: 35 ms of a thread for whoever parses them. */
const DENSE = `{"type":"req","id":"thrown","method":"health","params":[${"[],".repeat(690_000)}0]}`;
const DENSE_EVERY = 250;

const target = { name: "flood", wsUrl, httpUrl: wsUrl.replace("ws", "http"), token };
const wires = await Promise.all(Array.from({ length: CONNECTIONS }, () => Wire.open(target)));
const dense = await Wire.open(target);
const deaf = await Wire.open(target);
deaf.stopReading();
process.stdout.write("flooding\n");

let sent = 0;
let owed = 0;
setInterval(() => {
  owed += (Number(perSecond) * TICK_MS) / 1_000;
  for (; owed >= 1; owed -= 1) {
    sent += 1;
    const wire = sent % 20 === 0 ? deaf : wires[sent % CONNECTIONS]!;
    if (sent % DENSE_EVERY === 0) {
      dense.throwText(DENSE);
      continue;
    }
    const [method, params] = callOf(sent);
    wire.throwIn(method, params);
  }
}, TICK_MS);

/** Mostly small frames, every fourth a list, every fiftieth a quarter of a megabyte. */
function callOf(n: number): [string, Record<string, unknown>] {
  if (n % 50 === 0)
    return ["chat.send", { sessionKey: "main", message: LARGE, idempotencyKey: `flood-${n}` }];
  if (n % 4 === 0) return ["sessions.usage", { range: "1y", limit: 1_000 }];
  return ["health", {}];
}
