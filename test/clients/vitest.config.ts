/** `npm run test:clients`: the stock OpenClaw programs. Their files end in `.stock.ts`, so `npm test` does not pick them up. */
import { resolve } from "node:path";
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: resolve(import.meta.dirname, "../.."),
  test: {
    include: ["test/clients/stock/*.stock.ts", "test/clients/gateway-client.test.ts"],
    globalSetup: ["test/clients/stock/install.ts"],
    testTimeout: 90_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
