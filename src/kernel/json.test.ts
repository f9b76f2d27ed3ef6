import { describe, expect, it } from "vitest";
import { excessOf, fetchBoundedJson, PieceMeter, parseUntrusted } from "./json.ts";
import { LIMITS } from "./limits.ts";

const MB = 1_000_000;
const many = (text: string, times: number) => `[${text.repeat(times)}0]`;

describe("JSON of strangers", () => {
  it.each([
    ["empty lists", many("[],", LIMITS.jsonValues)],
    ["empty objects", many("{},", LIMITS.jsonValues)],
    ["numbers", many("1,", LIMITS.jsonValues + 1)],
    ["members", `{${Array.from({ length: LIMITS.jsonValues / 5 + 1 }, (_, n) => `"k${n}":1`).join()}}`],
    ["blanks", many(" ", LIMITS.jsonLooseChars + 1)],
    ["digits", many("1", LIMITS.jsonLooseChars + 1)],
    ["escapes", JSON.stringify("\n".repeat(5 * MB))],
    ["escaped quotes", JSON.stringify('"'.repeat(5 * MB))],
  ])("is refused with too many %s", (_of, text) => {
    expect(excessOf(text)).toBe("values");
    expect(() => parseUntrusted(text)).toThrow(expect.objectContaining({ code: "too_large" }));
  });

  it.each([
    ["a text of 24 MB", JSON.stringify({ content: "y".repeat(24 * MB) })],
    ["a text of base64 with its slashes escaped", `"${`${"A".repeat(63)}\\/`.repeat(300_000)}"`],
    ["a text full of brackets, commas and quotes", JSON.stringify('[{",:"}]'.repeat(200_000))],
    ["a text that ends in backslashes", JSON.stringify(["\\".repeat(999), "\\", "[".repeat(100), '\\"'])],
    ["many short texts", JSON.stringify(Array.from({ length: 50_000 }, (_, n) => `line ${n} "quoted" \\`))],
    ["ten thousand messages", JSON.stringify(Array(9_000).fill({ role: "user", content: "hello" }))],
  ])("is read with %s", (_of, text) => {
    expect(excessOf(text)).toBeUndefined();
    expect(parseUntrusted(text)).toEqual(JSON.parse(text));
  });

  it("finds what comes behind a text of any length", () => {
    for (const length of [0, 1, 62, 63, 64, 65, 66, 127, 128, 129, 1_000]) {
      for (const tail of ["", "\\\\", '\\"', '\\"\\"', "\\\\\\\\"]) {
        const text = `["${"x".repeat(length)}${tail}",${"[".repeat(70)}${"]".repeat(70)}]`;
        expect(excessOf(text)).toBe("depth");
      }
    }
    expect(excessOf('"never ends [[[')).toBeUndefined();
    expect(excessOf(`"${"x".repeat(64)}\\`)).toBeUndefined();
  });

  it("may hold less before it is known who sends it", () => {
    const text = many("1,", LIMITS.jsonValuesOfStrangers + 1);
    expect(() => parseUntrusted(text, { values: LIMITS.jsonValuesOfStrangers })).toThrow(/too much/);
    expect(parseUntrusted(text)).toHaveLength(LIMITS.jsonValuesOfStrangers + 2);
  });
});

const encode = (text: string) => new TextEncoder().encode(text);
const dense = (values: number) => `[${"[],".repeat(values / 2)}0]`;

function answering(status: number, ...pieces: string[]): typeof fetch {
  const body = () =>
    new ReadableStream<Uint8Array>({
      start(to) {
        for (const piece of pieces) to.enqueue(encode(piece));
        to.close();
      },
    });
  return fetchBoundedJson(async () => new Response(body(), { status, headers: { "x-kept": "yes" } }));
}

const read = async (fetched: typeof fetch) => (await fetched("http://model.invalid/")).text();

describe("an answer whose JSON is parsed elsewhere", () => {
  it("passes as it came while each event holds little, however many there are", async () => {
    const event = `data: {"choices":[{"delta":{"content":"${"a,[{".repeat(50)}\\",[["}}]}\r\n\r\n`;
    const fetched = answering(200, ...Array.from({ length: 20_000 }, () => event));
    expect((await read(fetched)).length).toBe(event.length * 20_000);
    expect((await fetched("http://model.invalid/")).headers.get("x-kept")).toBe("yes");
  });

  it.each([
    ["one line", [`data: ${dense(150_000)}\n\n`]],
    ["many lines of one event", Array.from({ length: 1_000 }, () => `data: ${dense(200)}\n`)],
    ["a text without end", Array.from({ length: 90 }, () => "y".repeat(50_000))],
  ])("ends when there is too much in %s", async (_what, pieces) => {
    await expect(read(answering(200, ...pieces))).rejects.toMatchObject({ code: "provider_failed" });
  });

  it("is one piece when it is a refusal, blank lines or not", async () => {
    const pieces = Array.from({ length: 1_000 }, () => `${dense(200)}\n\n`);
    await expect(read(answering(500, ...pieces))).rejects.toMatchObject({ code: "provider_failed" });
    await expect(read(answering(200, ...pieces))).resolves.toBeDefined();
  });

  it("is counted across the borders of its bytes", () => {
    const meter = new PieceMeter(true);
    const text = `data: {"a":"\\\\\\"[[[[","b":[1,2]}`;
    for (const byte of encode(text)) meter.push(Uint8Array.of(byte));
    expect(Reflect.get(meter, "values")).toBe(1 + 4 + 4 + 4 + 1 + 1 + 1);
  });
});
