/**
 * The forms of what an operator sets about money that leaves or comes in. Owns: fields and bounds.
 * Refuses to know: what is done with them.
 */
import { z } from "zod";

/** A secret in the clear, or where it is: `{source: 'env', id}` or `{source: 'file', id}`, or a reference in braces. */
export const SECRET = z.union([
  z.string(),
  z.object({ source: z.literal("env"), id: z.string().min(1) }),
  z.object({ source: z.literal("file"), id: z.string().min(1) }),
]);

const ADDRESS = z.url({ protocol: /^https?$/ });

/** SECURITY: all of these are strict, so that a misspelt setting stops the start instead of quietly meaning nothing. */
export const usageExportSchema = z
  .discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("webhook"), url: ADDRESS, secret: SECRET }),
    z.strictObject({
      kind: z.literal("stripe"),
      apiKey: SECRET,
      /** `event_name` of the meter. */
      meter: z.string().min(1).max(100),
      /** Stripe's customer by tenant id, or by slug; null for a tenant that is not billed there. */
      customers: z.record(
        z.string().min(1).max(40),
        z
          .string()
          .regex(/^cus_\w+$/, "is no customer of Stripe")
          .nullable(),
      ),
      apiBase: ADDRESS.optional(),
    }),
  ])
  .optional();

/** Where warnings of all tenants go. */
export const alertHookSchema = z.strictObject({ url: ADDRESS, secret: SECRET }).optional();

/** Stripe Checkout. */
export const stripeSchema = z
  .strictObject({ secretKey: SECRET, webhookSecret: SECRET, apiBase: ADDRESS.optional() })
  .optional();

/** Alipay's page. */
export const alipaySchema = z
  .strictObject({
    appId: z.string().regex(/^\d{8,32}$/, "is no app id of Alipay"),
    privateKey: SECRET,
    alipayPublicKey: SECRET,
    keyType: z.enum(["PKCS1", "PKCS8"]).optional(),
    gateway: ADDRESS.optional(),
  })
  .optional();
