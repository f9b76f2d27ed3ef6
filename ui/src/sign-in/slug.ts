/** Addresses of organizations. Owns: their form, and making one from a name. Refuses to know: which are taken. */

/** A slug as the server takes it: 3-40 of `a-z 0-9 -`, single dashes, none at the edges. */
export const SLUG = /^(?=.{3,40}$)[a-z0-9]+(?:-[a-z0-9]+)*$/;

/** Latin letters that do not come apart into a plain one and a mark. */
const PLAIN: Readonly<Record<string, string>> = {
  ð: "d",
  ø: "o",
  ł: "l",
  æ: "ae",
  œ: "oe",
  ß: "ss",
  þ: "th",
};

/** Latin letters and digits of a name, joined by dashes; empty when the name has none. */
export function slugFrom(name: string): string {
  return name
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .toLowerCase()
    .replace(/[ðøłæœßþ]/g, (letter) => PLAIN[letter] ?? "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 40)
    .replace(/-+$/, "");
}
