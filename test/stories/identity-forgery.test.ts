/**
 * Tokens that are forged and providers that lie about themselves. Each row names one; nobody may get in by it.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Saying } from "#test/support/hostile-provider.ts";
import {
  type ProviderName,
  startTakeoverWorld,
  type TakeoverWorld,
  VICTIM,
} from "#test/support/takeover-world.ts";

let world: TakeoverWorld;
let before: unknown;

const ATTACKER = { sub: "mallory", name: "Mallory" };
beforeAll(async () => {
  world = await startTakeoverWorld();
});
afterAll(() => world.close());

beforeEach(() => {
  before = world.standing();
});
afterEach(() => {
  expect(world.standing()).toEqual(before);
});

/** Nobody is signed in and no person was made. */
async function expectRefused(provider: ProviderName, saying: Saying, problem = "sign_in_failed") {
  expect(await world.refuse(provider, saying)).toEqual({ problem, hasSession: false, made: 0 });
}

interface Row {
  attack: string;
  run(): Promise<void>;
}

/** Subjects and tokens that must not count. */
const FORGERIES: Row[] = [
  ...(
    [
      ["with NUL", "vera\u0000"],
      ["with a newline", "vera\n"],
      ["empty", ""],
      ["of 10 KB", "v".repeat(10_240)],
      ["a number", 7],
      ["null", null],
      ["a list", ["vera"]],
      ["an object", { toString: "vera" }],
      ["missing", undefined],
    ] as const
  ).map(([what, sub]) => ({
    attack: `a subject ${what}`,
    run: () => expectRefused("alpha", { claims: { ...ATTACKER, sub } }),
  })),
  {
    attack: "a subject that is half a character, stored as the same mark as every other half",
    run: () =>
      expectRefused("alpha", {
        payload: (honest) => JSON.stringify({ ...honest, sub: "#" }).replace("#", "\\ud800"),
      }),
  },
  {
    attack: "no signature",
    run: () => expectRefused("alpha", { claims: VICTIM, signature: "none" }),
  },
  {
    attack: "HS256 with the public key as the secret",
    run: () => expectRefused("alpha", { claims: VICTIM, signature: "hmac" }),
  },
  {
    attack: "a signature with another key under the same name",
    run: () => expectRefused("alpha", { claims: VICTIM, signature: "other_key" }),
  },
  {
    attack: "a key inside the token",
    run: () =>
      expectRefused("alpha", {
        claims: VICTIM,
        signature: "other_key",
        header: { kid: undefined, jwk: world.providers.beta.jwk, jku: `${world.providers.beta.issuer}/jwks` },
      }),
  },
  ...(
    [
      ["for another client", { aud: "other" }],
      ["for another client and us, not saying for whom", { aud: ["other", "creel"] }],
      ["for us and another, given to the other", { aud: ["other", "creel"], azp: "other" }],
      ["given to another", { azp: "other" }],
      ["of another issuer", { iss: "https://accounts.example" }],
      ["that is over", { exp: 1_000_000_000 }],
      ["without an end", { exp: undefined }],
      ["with another nonce", { nonce: "n".repeat(43) }],
      ["without a nonce", { nonce: undefined }],
      ["for nobody", { aud: undefined }],
    ] as [string, Record<string, unknown>][]
  ).map(([what, changes]) => ({
    attack: `a token ${what}`,
    run: () => expectRefused("alpha", { claims: { ...VICTIM, ...changes } }),
  })),
  {
    attack: "the answer of another issuer (mix-up)",
    run: () =>
      expectRefused("alpha", {
        claims: VICTIM,
        back: (parameters) => parameters.set("iss", world.providers.beta.issuer),
      }),
  },
  {
    attack: "a state of somebody else's flow",
    async run() {
      const other = await world.oidc.start(world.browser(), { provider: "alpha" });
      const state = new URL(other.redirect).searchParams.get("state") ?? "";
      const back = (parameters: URLSearchParams) => parameters.set("state", state);
      await expectRefused("alpha", { claims: VICTIM, back }, "flow_expired");
    },
  },
];

/** What a provider must not say of itself. Each is asked anew. */
const DESCRIPTIONS: Row[] = (
  [
    ["calls itself another issuer", { metadata: { issuer: "https://accounts.example" } }],
    ["calls itself the victim's provider", { metadata: { issuer: "$ALPHA" } }],
    ["calls itself with one slash more", { metadata: { issuer: "$DELTA/" } }],
    ["redeems codes at an address inside", { metadata: { token_endpoint: "http://169.254.169.254/latest" } }],
    ["redeems codes without TLS", { metadata: { token_endpoint: "http://id.example/token" } }],
    ["keeps its keys on a private host", { metadata: { jwks_uri: "http://10.0.0.1/keys" } }],
    ["sends people to a script", { metadata: { authorization_endpoint: "javascript:alert(1)" } }],
    [
      "signs with a shared secret only",
      { metadata: { id_token_signing_alg_values_supported: ["HS256", "none"] } },
    ],
    [
      "redirects where it describes itself",
      {
        answer: (path: string) =>
          path.startsWith("/.well-known/")
            ? { status: 302, headers: { location: "http://127.0.0.1:1/" }, body: "" }
            : undefined,
      },
    ],
    [
      "describes itself at length",
      {
        answer: (path: string) =>
          path.startsWith("/.well-known/")
            ? { status: 200, body: `{"x":"${"x".repeat(2_000_000)}"}` }
            : undefined,
      },
    ],
  ] as [string, Saying][]
).map(([what, saying]) => ({
  attack: `a provider ${what}`,
  async run() {
    const { alpha, delta } = world.providers;
    const issuer = String(saying.metadata?.["issuer"] ?? "")
      .replace("$ALPHA", alpha.issuer)
      .replace("$DELTA", delta.issuer);
    const said = issuer === "" ? saying : { metadata: { ...saying.metadata, issuer } };
    world.clock.pass(6_000);
    await expectRefused("delta", said, "start 502");
  },
}));

/** What a provider must not show where keys are looked up. */
const KEYS: Row[] = (
  [
    [
      "more keys than anybody needs",
      () => ({
        keys: Array.from({ length: 65 }, (_, i) => ({
          ...world.providers.gamma.jwk,
          ...(i === 0 ? {} : { kid: `k${i}` }),
        })),
      }),
    ],
    ["two keys of one name", () => ({ keys: [world.providers.alpha.jwk, world.providers.alpha.jwk] })],
    ["no keys", () => ({ keys: [] })],
    ["keys of another kind", () => ({ keys: [{ kty: "oct", k: "AAAA", kid: "only", alg: "HS256" }] })],
    ["keys without end", () => ({ keys: [], more: "x".repeat(2_000_000) })],
  ] as [string, () => unknown][]
).map(([what, shown]) => ({
  attack: `a provider that shows ${what}`,
  async run() {
    const body = JSON.stringify(shown());
    const answer = (path: string) => (path === "/jwks" ? { status: 200, body } : undefined);
    // Its description is read anew, and with it its keys.
    world.clock.pass(3_600_001);
    const { problem, hasSession, made } = await world.refuse("gamma", { claims: VICTIM, answer });
    expect(["sign_in_failed", "provider_unavailable"]).toContain(problem);
    expect([hasSession, made]).toEqual([false, 0]);
  },
}));

describe.each([
  ["tokens", FORGERIES],
  ["providers", DESCRIPTIONS],
  ["keys", KEYS],
] as const)("forged %s", (_group, rows) => {
  it.each(rows.map((row) => [row.attack, row] as const))("%s", (_attack, row) => row.run());
});
