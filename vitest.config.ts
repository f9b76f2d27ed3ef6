/** The test run. Owns: which files are tests, and what they run on. */
import { defineConfig } from "vitest/config";

/** Where a program that counts results wants them as JSON; see .ci/run. */
const resultsFile = process.env["CREEL_TEST_RESULTS"];

export default defineConfig({
  test: {
    include: [
      "src/**/*.test.ts",
      "test/{stories,isolation,contracts,faults,house,browser}/**/*.test.ts",
      "test/clients/gateway-client.test.ts",
    ],
    globalSetup: ["test/support/runtime.ts"],
    pool: "forks",
    // One more than the least machine has cores: a good part of the tests waits for processes and pages.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    reporters: ["default", ...(resultsFile ? ["json"] : [])],
    ...(resultsFile ? { outputFile: { json: resultsFile } } : {}),
  },
});
