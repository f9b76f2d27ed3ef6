/** The test run. Owns: which files are tests, and what they run on. */

import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Where a program that counts results wants them as JSON; see .ci/run. */
const resultsFile = process.env["CREEL_TEST_RESULTS"];

/** Folders by how long their files take, the longest first: what is begun last must not be what all wait for. */
const LONGEST_FIRST = ["test/browser/", "test/faults/", "test/isolation/", "test/stories/", "test/", "src/"];

/** Known durations decide where there are any; a clean clone has none, and goes by the folders. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) =>
      LONGEST_FIRST.findIndex((folder) => moduleId.includes(`/${folder}`));
    const sorted = await super.sort(files);
    const isKnown = files.every((file) => this.ctx.cache.getTestSpecificationResult(file) !== undefined);
    return isKnown ? sorted : sorted.toSorted((left, right) => rank(left) - rank(right));
  }
}

export default defineConfig({
  test: {
    include: [
      "src/**/*.test.ts",
      "test/{stories,isolation,contracts,faults,house,browser}/**/*.test.ts",
      "test/clients/gateway-client.test.ts",
    ],
    globalSetup: ["test/support/runtime.ts"],
    pool: "forks",
    // Files share a process, as tenants do: what one leaves behind in it is found by the next, and nothing is loaded twice.
    isolate: false,
    sequence: { sequencer: LongestFirst },
    // One more than the least machine has cores: a good part of the tests waits for processes and pages.
    maxWorkers: 3,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 10_000,
    reporters: ["default", ...(resultsFile ? ["json"] : [])],
    ...(resultsFile ? { outputFile: { json: resultsFile } } : {}),
  },
});
