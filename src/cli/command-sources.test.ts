import { expect, it } from "vitest";
import { COMMAND_SOURCES, loadCommands } from "./command-sources.ts";

it("finds every command by the first word of its name, and loads no file for a word that it has not", async () => {
  for (const { words, load } of COMMAND_SOURCES) {
    const names = (await load()).map(({ name }) => name);
    expect([...new Set(names.map((name) => name.split(" ")[0]))].sort()).toEqual([...words].sort());
    for (const word of words)
      expect((await loadCommands(word)).map(({ name }) => name)).toEqual(
        expect.arrayContaining(names.filter((name) => name.split(" ")[0] === word)),
      );
  }
  expect(await loadCommands("nonsense")).toEqual([]);
});

it("has every name once", async () => {
  const names = (await loadCommands()).map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(names.length).toBeGreaterThan(25);
});
