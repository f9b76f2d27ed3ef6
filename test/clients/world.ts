/**
 * Which gateway the client tests drive. Creel, unless `CLIENTS_TARGET=openclaw` asks for the stock gateway: the same tests
 * against the gateway the clients were made for show that a failure is Creel's and not the harness's.
 */
import { startCreel } from "./creel.ts";
import { installOpenClaw, startOpenClaw } from "./openclaw.ts";
import type { Gateway } from "./target.ts";

/** Starts the gateway under test with the mock model as its only provider. */
export async function openGateway(modelBaseUrl: string): Promise<Gateway> {
  if (process.env["CLIENTS_TARGET"] !== "openclaw") return startCreel({ modelBaseUrl });
  await installOpenClaw();
  return startOpenClaw({ modelBaseUrl });
}
