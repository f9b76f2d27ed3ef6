/** Before the stock tests: the stock package is there, and it is the release the tests name. */
import { installedVersion, installOpenClaw, OPENCLAW_VERSION } from "../openclaw.ts";

/** Called once by vitest. */
export async function setup(): Promise<void> {
  await installOpenClaw((line) => process.stdout.write(`${line}\n`));
  const version = await installedVersion();
  if (version !== OPENCLAW_VERSION)
    throw new Error(`found openclaw ${version}, these tests are for ${OPENCLAW_VERSION}`);
}
