/** Starts what a benchmark needs beside Creel: the mock model and the bare server, each a process of its own. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { freePort, type Gateway, stopChild, tailOf, until, waitReady } from "../clients/target.ts";
import type { ModelProcess } from "./measure.ts";

/** The mock model without a memory for bodies. */
export async function startModel(): Promise<ModelProcess> {
  const port = await freePort();
  const script = join(import.meta.dirname, "../support/mock-model.ts");
  const child = spawn(process.execPath, [script, "--port", String(port), "--no-bodies"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = tailOf(child);
  const url = await until("the mock model", () => /http:\S+/.exec(output())?.[0], { output });
  return { url, baseUrl: `${url}/v1`, stop: () => stopChild(child) };
}

/** The bare server, which asks for no token. */
export async function startBare(modelBaseUrl: string): Promise<Gateway> {
  const port = await freePort();
  const script = join(import.meta.dirname, "bare-server.ts");
  const child = spawn(process.execPath, [script, "--port", String(port), "--model", modelBaseUrl], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = tailOf(child);
  const httpUrl = `http://127.0.0.1:${port}`;
  const readyMs = await waitReady(child, httpUrl, output);
  return {
    kind: "bare",
    pid: child.pid ?? 0,
    readyMs,
    targets: [{ name: "bare", wsUrl: `ws://127.0.0.1:${port}`, httpUrl, token: "none" }],
    output,
    stop: () => stopChild(child),
  };
}
