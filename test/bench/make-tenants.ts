/**
 * Makes tenants and a token for each, in one process beside the running server: what `creel tenant create` and
 * `creel token create` do, a thousand times without a thousand starts of Node. Prints one `slug token` per line.
 *
 * `node test/bench/make-tenants.ts <state dir> <slug prefix> <count>`
 */
import { withState } from "#src/cli/state.ts";

const [stateDir = "", prefix = "", count = "0"] = process.argv.slice(2);

await withState(stateDir, async (state) => {
  for (let n = 0; n < Number(count); n += 1) {
    const slug = `${prefix}-${String(n).padStart(4, "0")}`;
    const tenant = await state.tenants.create({ slug, displayName: slug });
    await state.door.prepare(tenant);
    const { secret } = await state.auth.tokens.create(tenant.id, {
      name: "benchmark",
      role: "owner",
      maker: { kind: "machine" },
      userId: null,
      expiresInMs: null,
    });
    process.stdout.write(`${slug} ${secret}\n`);
  }
});
