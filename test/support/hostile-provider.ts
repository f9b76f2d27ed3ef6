/**
 * An OpenID provider that says whatever a test wants: any claims, any signature, any description of itself. Owns: its
 * endpoints and keys. Refuses to know: who relies on it. A well-behaved one is in identity-provider.ts.
 */
import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK } from "jose";

/** What the provider will say until it is told otherwise. */
export interface Saying {
  /** Laid over honest claims; undefined takes one out. */
  claims?: Readonly<Record<string, unknown>>;
  /** The payload as text, when JSON cannot say it. */
  payload?: (honest: Readonly<Record<string, unknown>>) => string;
  /** Laid over `{alg, kid, typ}`. */
  header?: Readonly<Record<string, unknown>>;
  /** Signs with what is public instead of the private key. */
  signature?: "none" | "hmac" | "other_key";
  /** Laid over an honest description. */
  metadata?: Readonly<Record<string, unknown>>;
  /** Changes the parameters of the way back. */
  back?: (parameters: URLSearchParams) => void;
  /** Answers a path instead of the provider. */
  answer?: (path: string) => { status: number; headers?: Record<string, string>; body: string } | undefined;
}

/** A running provider. */
export interface HostileProvider {
  issuer: string;
  clientId: string;
  clientSecret: string;
  /** What `auth.providers` needs. */
  settings: {
    issuer: string;
    clientId: string;
    clientSecret: string;
    label: string;
    icon: "key";
    trustEmail: boolean;
  };
  say(saying: Saying): void;
  /** A token with any claims, signed with the provider's key. */
  signed(claims: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>): string;
  /** Its public key. */
  jwk: Readonly<Record<string, unknown>>;
  /** Paths asked for, oldest first. */
  readonly requests: string[];
  /** Bodies that came to the token endpoint. */
  readonly redeemed: URLSearchParams[];
  close(): Promise<void>;
}

const KID = "only";

/** Start one. `port` 0 takes any free one. */
export async function startHostileProvider(port = 0): Promise<HostileProvider> {
  const keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const other = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const jwk = { ...(await exportJWK(keys.publicKey)), kid: KID, alg: "ES256", use: "sig" };
  const nonces = new Map<string, string>();
  const requests: string[] = [];
  const redeemed: URLSearchParams[] = [];
  let saying: Saying = {};
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", issuer);
    requests.push(url.pathname);
    const special = saying.answer?.(url.pathname);
    const send = (status: number, body: string, headers: Record<string, string> = {}) =>
      response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
    if (special !== undefined) return void send(special.status, special.body, special.headers);
    if (url.pathname === "/.well-known/openid-configuration")
      return void send(200, JSON.stringify({ ...describe(issuer), ...saying.metadata }));
    if (url.pathname === "/jwks") return void send(200, JSON.stringify({ keys: [jwk] }));
    if (url.pathname === "/authorize") {
      const code = randomBytes(16).toString("hex");
      nonces.set(code, url.searchParams.get("nonce") ?? "");
      const back = new URLSearchParams({ code, state: url.searchParams.get("state") ?? "", iss: issuer });
      saying.back?.(back);
      return void send(303, "", { location: `${url.searchParams.get("redirect_uri")}?${back}` });
    }
    if (url.pathname !== "/token") return void send(404, "{}");
    void readBody(request).then((form) => {
      redeemed.push(form);
      const idToken = makeToken(saying, honest(issuer, nonces.get(form.get("code") ?? "")), keys, other);
      send(200, JSON.stringify({ access_token: "a", token_type: "Bearer", id_token: idToken }));
    });
  });
  await new Promise<void>((done, failed) => {
    server.once("error", failed).listen(port, "127.0.0.1", done);
  });
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = { clientId: "creel", clientSecret: "hostile-client-secret-0123456789" };
  return {
    issuer,
    ...client,
    settings: { issuer, ...client, label: "Hostile", icon: "key", trustEmail: true },
    jwk,
    requests,
    redeemed,
    say(next) {
      saying = next;
    },
    signed: (claims, header = {}) =>
      compact({ alg: "ES256", kid: KID, ...header }, JSON.stringify(claims), (text) =>
        es256(text, keys.privateKey),
      ),
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

function describe(issuer: string): Record<string, unknown> {
  return {
    issuer,
    authorization_endpoint: `${issuer}/authorize`,
    token_endpoint: `${issuer}/token`,
    jwks_uri: `${issuer}/jwks`,
    response_types_supported: ["code"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["ES256"],
    authorization_response_iss_parameter_supported: true,
  };
}

function honest(issuer: string, nonce: string | undefined): Record<string, unknown> {
  const nowS = Math.floor(Date.now() / 1_000);
  return { iss: issuer, sub: "somebody", aud: "creel", iat: nowS, exp: nowS + 300, auth_time: nowS, nonce };
}

function makeToken(
  saying: Saying,
  claims: Record<string, unknown>,
  keys: { publicKey: KeyObject; privateKey: KeyObject },
  other: KeyObject,
): string {
  const payload = saying.payload?.(claims) ?? JSON.stringify({ ...claims, ...saying.claims });
  const header = { alg: "ES256", kid: KID, typ: "JWT", ...saying.header };
  if (saying.signature === "none") return compact({ ...header, alg: "none" }, payload, () => "");
  if (saying.signature === "hmac") {
    const pem = keys.publicKey.export({ type: "spki", format: "pem" });
    const hmac = (text: string) => createHmac("sha256", pem).update(text).digest("base64url");
    return compact({ ...header, alg: "HS256" }, payload, hmac);
  }
  const key = saying.signature === "other_key" ? other : keys.privateKey;
  return compact(header, payload, (text) => es256(text, key));
}

function es256(text: string, key: KeyObject): string {
  return sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64url");
}

function compact(header: object, payload: string, signer: (text: string) => string): string {
  const text = `${encode(JSON.stringify(header))}.${encode(payload)}`;
  return `${text}.${signer(text)}`;
}

const encode = (text: string) => Buffer.from(text).toString("base64url");

async function readBody(request: IncomingMessage): Promise<URLSearchParams> {
  let body = "";
  for await (const chunk of request) body += String(chunk);
  return new URLSearchParams(body);
}
