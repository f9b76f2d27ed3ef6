/**
 * An answer's body that ends when it grows too large. Owns: counting and passing on bytes.
 * Refuses to know: deadlines, where the bytes come from.
 */

/** What happens while the body is read. */
export interface BodyBounds {
  maxBytes: number;
  /** Called for each piece. */
  touch(): void;
  /** Called once, when the body ended in whatever way. */
  stop(): void;
  /** Turn a read error into what the reader should see. */
  explain(thrown: unknown): unknown;
  tooLarge(): Error;
}

/** Pass a (decoded) body on, at the reader's pace. */
export function boundedBody(
  source: ReadableStream<Uint8Array>,
  bounds: BodyBounds,
): ReadableStream<Uint8Array> {
  const reader = source.getReader();
  let taken = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (done) {
            bounds.stop();
            controller.close();
            return;
          }
          bounds.touch();
          taken += value.byteLength;
          if (taken > bounds.maxBytes) throw bounds.tooLarge();
          controller.enqueue(value);
        } catch (thrown) {
          bounds.stop();
          controller.error(bounds.explain(thrown));
          reader.cancel().catch(() => undefined);
        }
      },
      async cancel(reason) {
        bounds.stop();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
