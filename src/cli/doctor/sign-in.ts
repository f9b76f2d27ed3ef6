/**
 * The look of `creel doctor` at sign-in providers. Owns: asking each for its description, as a sign-in would.
 * Refuses to know: how findings are shown.
 */
import { ProviderClients } from "../../auth/oidc/provider/clients.ts";
import { deploymentProvider } from "../../auth/oidc/providers.ts";
import type { Config } from "../../config/options.ts";
import { systemClock } from "../../kernel/clock.ts";
import { Egress } from "../../kernel/egress.ts";
import { AppError } from "../../kernel/errors.ts";
import { makeLog } from "../../kernel/log.ts";

/** A provider that cannot be used now, and why. */
export interface ProviderProblem {
  id: string;
  issuer: string;
  /** Null when it can be used. */
  problem: string | null;
}

/** Ask all providers of the configuration at once; at most five seconds each. Never throws. */
export async function inspectProviders(config: Config): Promise<ProviderProblem[]> {
  const log = makeLog({ level: "silent" });
  const egress = new Egress({ allowPrivate: config.egressAllowPrivate, log });
  const clients = new ProviderClients(egress, systemClock);
  try {
    return await Promise.all(
      Object.entries(config.signInProviders).map(async ([id, settings]) => {
        const problem = await clients.assertUsable(deploymentProvider(id, settings)).then(
          () => null,
          (thrown: unknown) => (thrown instanceof AppError ? thrown.publicMessage : String(thrown)),
        );
        return { id, issuer: settings.issuer, problem };
      }),
    );
  } finally {
    await egress.close();
  }
}
