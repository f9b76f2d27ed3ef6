/**
 * Bodies of requests, once their senders are let in. Owns: the types that are read, room for large ones, counting what
 * did not say how large it is, parsing in the sender's turn. Refuses to know: routes, who may call them.
 */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { AppError } from "../../kernel/errors.ts";
import { parseUntrusted } from "../../kernel/json.ts";
import { LIMITS } from "../../kernel/limits.ts";
import { BodyRoom } from "../traffic/body-room.ts";
import type { Traffic } from "../traffic/traffic.ts";
import { parseForm } from "./cookies.ts";
import { declaredBytes } from "./unread-body.ts";

const FORM = "application/x-www-form-urlencoded";
const FORM_BYTES = 64 * 1024;

/** See the head of this file. */
export class Bodies {
  private readonly traffic: Traffic;
  private readonly room = new BodyRoom();

  constructor(traffic: Traffic) {
    this.traffic = traffic;
  }

  /** Let a server read bodies in this way and no other. */
  register(fastify: FastifyInstance): void {
    fastify.removeAllContentTypeParsers();
    fastify.addContentTypeParser(
      "application/json",
      { parseAs: "buffer" },
      (request: FastifyRequest, body: Buffer) =>
        this.take(request, body, (text) => {
          const isKnown = request.entry !== null && request.entry.kind !== "open";
          if (text === "") return undefined;
          return parseUntrusted(text, isKnown ? {} : { values: LIMITS.jsonValuesOfStrangers });
        }),
    );
    fastify.addContentTypeParser(
      FORM,
      { parseAs: "buffer", bodyLimit: FORM_BYTES },
      (request: FastifyRequest, body: Buffer) =>
        this.take(request, body, (text) => parseForm(text, request.routeOptions.config.route?.isForm)),
    );
    fastify.addHook("preParsing", async (request, reply, payload) => {
      const { gone } = request;
      if (gone === null || gone.signal.aborted) throw new AppError("aborted", "The caller left.");
      const leave = await this.enter(request, gone.signal);
      if (leave === undefined) return payload;
      request.leaveRoom = leave;
      reply.raw.once("close", leave);
      return payload;
    });
  }

  /** Wait for room; undefined when the body is small, is not read, or will be refused for its size. */
  private async enter(request: FastifyRequest, signal: AbortSignal): Promise<(() => void) | undefined> {
    const { entry, ingress, routeOptions } = request;
    const limit = routeOptions.bodyLimit ?? LIMITS.bodyBytes;
    const bytes = declaredBytes(request.raw) ?? limit;
    if (bytes <= LIMITS.callBytes || bytes > limit || request.method === "GET" || request.method === "HEAD")
      return undefined;
    if (entry?.kind === "tenant")
      return this.room.enter(`tenant ${entry.caller.tenant.id}`, bytes, LIMITS.bodiesBytes, signal);
    const key = entry?.kind === "person" ? `person ${entry.user.userId}` : `address ${ingress?.peer.address}`;
    return this.room.enter(key, bytes, LIMITS.strangerBodiesBytes, signal);
  }

  /** Read what came: counted, and in its sender's turn. */
  private async take(
    request: FastifyRequest,
    body: Buffer,
    parse: (text: string) => unknown,
  ): Promise<unknown> {
    try {
      await this.admit(request, body.length);
      const text = body.toString("utf8");
      return request.routeOptions.config.route?.isRaw === true ? text : parse(text);
    } finally {
      request.leaveRoom?.();
    }
  }

  /** SECURITY: who does not say how much they send has it counted when it is known; saying nothing must not be cheaper. */
  private async admit(request: FastifyRequest, sizeBytes: number): Promise<void> {
    const { entry, ingress, raw } = request;
    const countedBytes = declaredBytes(raw) === undefined ? sizeBytes : 0;
    if (entry?.kind === "tenant" && sizeBytes > LIMITS.parsedFirstBytes)
      return this.traffic.admitBytes(entry.caller.principal, countedBytes);
    if (entry?.kind === "open" && ingress !== null && countedBytes > LIMITS.callBytes)
      await this.traffic.admitStranger(ingress.peer.address, countedBytes);
  }
}
