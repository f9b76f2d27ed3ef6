/**
 * Usage and warnings over a signed webhook. Owns: the request (CloudEvents JSON batch, Standard Webhooks headers) and reading its
 * answer. Refuses to know: where addresses and secrets are kept. The secret is `whsec_` and base64 of 24 to 64 bytes.
 */
import { randomBytes } from "node:crypto";
import type { Clock } from "../../kernel/clock.ts";
import { AppError } from "../../kernel/errors.ts";
import type { Delivery, UsageSink } from "./usage-sink.ts";

/** Where to, signed with what. */
export interface WebhookTarget {
  url: string;
  secret: string;
}

/** CloudEvents that are sent as one; `id` is the same whenever they are sent again. */
export interface WebhookMessage {
  id: string;
  events: readonly object[];
}

const SECRET = /^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/;

/** A new secret. */
export function newWebhookSecret(): string {
  return `whsec_${randomBytes(32).toString("base64")}`;
}

/** Refuse what could be guessed, or what anybody could sign with; throws `invalid_request`. */
export function checkWebhookSecret(secret: string): string {
  if (SECRET.test(secret)) return secret;
  throw new AppError("invalid_request", "A webhook's secret is whsec_ and base64 of 24 to 64 bytes.");
}

/** See the head of this file. */
export class WebhookSink implements UsageSink {
  private readonly target: WebhookTarget;
  private readonly send: typeof fetch;
  private readonly clock: Clock;

  /** @param send goes through the egress guard */
  constructor(target: WebhookTarget, send: typeof fetch, clock: Clock) {
    this.target = { url: target.url, secret: checkWebhookSecret(target.secret) };
    this.send = send;
    this.clock = clock;
  }

  async deliver(message: WebhookMessage): Promise<Delivery> {
    const { Webhook } = await import("standardwebhooks");
    const body = JSON.stringify(message.events);
    const at = new Date(this.clock.nowMs());
    const signature = new Webhook(this.target.secret).sign(message.id, at, body);
    try {
      const answer = await this.send(this.target.url, {
        method: "POST",
        headers: {
          "content-type": "application/cloudevents-batch+json; charset=utf-8",
          "webhook-id": message.id,
          "webhook-timestamp": String(Math.floor(at.getTime() / 1_000)),
          "webhook-signature": signature,
        },
        body,
      });
      await answer.body?.cancel();
      if (answer.ok) return { ok: true };
      const waitS = Number(answer.headers.get("retry-after"));
      const retryAfterMs = Number.isFinite(waitS) && waitS > 0 ? waitS * 1_000 : undefined;
      return { ok: false, reason: `HTTP ${answer.status}`, isGone: answer.status === 410, retryAfterMs };
    } catch (thrown) {
      const reason = thrown instanceof AppError ? thrown.publicMessage : "The address could not be reached.";
      return { ok: false, reason, isGone: false };
    }
  }
}
