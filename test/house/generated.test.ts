/** Pages made from declarations say what the declarations say. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { defineMethod } from "#src/protocol/methods.ts";
import { listStale, renderPages } from "../../scripts/generate-docs.ts";
import { renderMethods } from "../../scripts/methods-page.ts";
import { ROOT } from "./tree.ts";

describe("generated pages", () => {
  it("are fresh; npm run docs writes them", async () => {
    const pages = await renderPages();
    expect(pages.map((page) => page.path)).toEqual(["docs/methods.md", "docs/config.md", ".env.example"]);
    expect(listStale(pages)).toEqual([]);
    expect(listStale([{ path: "docs/methods.md", text: "other" }])).toEqual(["docs/methods.md"]);
  });

  it("cover every method that the product advertises", async () => {
    const [methods] = await renderPages();
    expect(methods!.text.match(/^## /gm)!.length).toBeGreaterThan(40);
    for (const name of ["chat.send", "sessions.list", "usage.cost"])
      expect(methods!.text).toContain(`\n## ${name}\n`);
  });

  it("name no place of the machine that they were made on", () => {
    const text = readFileSync(join(ROOT, "docs/config.md"), "utf8");
    expect(text).toContain("`~/.openclaw`");
  });

  it("say scope, cost, params and answer of a method", () => {
    const method = defineMethod({
      name: "things.list",
      scope: "operator.read",
      params: z.object({
        key: z.string().min(1).max(64),
        kind: z.enum(["a", "b"]).optional(),
        ids: z.array(z.int().min(1)).max(9).optional(),
      }),
      result: z.looseObject({ things: z.array(z.string()), at: z.number().nullable() }),
      cost: "read",
      doc: "Lists things | all of them.",
      handler: async () => ({ things: [], at: null }),
    });
    const text = renderMethods([method]);
    expect(text).toContain(
      "| [`things.list`](#thingslist) | `operator.read` | read | Lists things \\| all of them. |",
    );
    expect(text).toContain("| `key` (required) | text | 1 to 64 characters |");
    expect(text).toContain("| `kind` | `a` or `b` |  |");
    expect(text).toContain("| `ids` | list of integer | at most 9 entries |");
    expect(text).toContain("Answers with `things` (list of text), `at` (number or nothing).");
  });
});
