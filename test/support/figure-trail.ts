/**
 * Following figures of usage down by HTTP, as the links on the pages do. Owns: what must add up at each level, and a
 * table of what does not. Refuses to know: where a figure was seen.
 */
import { DRILL_GROUPS, type Drill, type DrillGroup, type DrillSums } from "#src/billing/drill/usage-drill.ts";
import { type Dice, OWN_PROVIDER, ZONE } from "./month-of-usage.ts";
import type { TestApp } from "./start-app.ts";

/** Days and keys that a figure is about: `from`, `to`, and the groups of the drill. */
export type Place = Readonly<Partial<Record<DrillGroup | "from" | "to", string>>>;

/** A total that somebody sees. */
export interface Figure {
  /** Where it is, for the table of mismatches. */
  name: string;
  /** What kind of thing it is a total of; tests take some of each. */
  kind: string;
  micros: number;
  /** Where the page says so. */
  tokens?: number | undefined;
  place: Place;
  /** What the tenant owes, instead of what usage is worth: nothing for keys of its own, nor above a reservation. */
  isCharged?: boolean;
}

/** One number that is not what it must be. */
export interface Mismatch {
  figure: string;
  level: string;
  expected: number;
  found: number;
}

interface Line {
  kind: string;
  to: string;
  amountMicros: number;
  atMs: number;
  runId: string | null;
  details: { provider?: string; model?: string };
}

const TOKENS = ["inputTokens", "outputTokens", "cacheReadTokens", "cacheWriteTokens"] as const;
const SUMS = ["costMicros", ...TOKENS, "calls", "toolCalls"] as const;

const MOST_SHOWN = 60;

/** The table of mismatches as text (figure, level, expected, found), one line each; empty when there are none. */
export function tableOf(mismatches: readonly Mismatch[]): string {
  const lines = mismatches.map(
    ({ figure, level, expected, found }) => `${figure} | ${level} | ${expected} | ${found}`,
  );
  const left = lines.length - MOST_SHOWN;
  return [...lines.slice(0, MOST_SHOWN), ...(left > 0 ? [`and ${left} more`] : [])].join("\n");
}

/** See the head of this file. */
export class FigureTrail {
  readonly mismatches: Mismatch[] = [];
  /** Levels that were compared. */
  levels = 0;
  private readonly get: (path: string) => Promise<unknown>;
  private readonly byRun: Map<string, Line[]>;
  private readonly dayFormat = new Intl.DateTimeFormat("sv-SE", { timeZone: ZONE });

  private constructor(get: (path: string) => Promise<unknown>, lines: readonly Line[]) {
    this.get = get;
    this.byRun = Map.groupBy(lines, (line) => line.runId ?? "");
  }

  /** Reads the whole ledger of the tenant once. */
  static async open(app: TestApp, slug: string): Promise<FigureTrail> {
    const headers = { authorization: `Bearer ${await app.token(slug, "owner", "Trail")}` };
    const get = async (path: string): Promise<unknown> => {
      const answer = await fetch(`${app.url}/t/${slug}/api/${path}`, { headers });
      if (!answer.ok) throw new Error(`${path} answered ${answer.status} ${await answer.text()}`);
      return answer.json();
    };
    const lines: Line[] = [];
    for (let after: number | null = 0; after !== null; ) {
      const page = (await get(`ledger?limit=500&after=${after}`)) as {
        transfers: Line[];
        next: number | null;
      };
      lines.push(...page.transfers);
      after = page.next;
    }
    return new FigureTrail(get, lines);
  }

  /** Sums of a place by one thing. */
  drill(place: Place, groupBy: DrillGroup): Promise<Drill> {
    const query = new URLSearchParams({ ...place, groupBy } as Record<string, string>);
    return this.get(`usage/drill?${query}`) as Promise<Drill>;
  }

  /** Follow a figure to one turn and its ledger lines, by another way each time. */
  async follow(figure: Figure, dice: Dice): Promise<void> {
    const top = await this.drill(figure.place, "run");
    if (figure.isCharged !== true) this.same(figure, "drill-down", figure.micros, top.total.costMicros);
    if (figure.tokens !== undefined) this.same(figure, "tokens", figure.tokens, tokensOf(top.total));
    await this.compareLedger(figure, figure.place, top);
    let { place } = figure;
    let above: DrillSums = top.total;
    for (let left = this.groupsBelow(place); left.length > 0; left = this.groupsBelow(place)) {
      const groupBy = left.length === 1 ? "run" : dice.pick(left.filter((group) => group !== "run"));
      const level = await this.drill(place, groupBy);
      this.compareLevel(figure, place, groupBy, above, level);
      const row = dice.pick(level.rows);
      if (row === undefined) return;
      place = { ...place, [groupBy]: row.key };
      above = row;
      // A way down need not pass through everything.
      if (groupBy !== "run" && dice.next() < 0.3) {
        const runs = await this.drill(place, "run");
        this.compareLevel(figure, place, "run", above, runs);
        const last = dice.pick(runs.rows);
        place = { ...place, run: last?.key ?? "" };
        above = last ?? above;
      }
      if (place.run !== undefined) break;
    }
    await this.compareLines(figure, place, above);
  }

  private groupsBelow(place: Place): DrillGroup[] {
    return DRILL_GROUPS.filter((group) => place[group] === undefined);
  }

  private compareLevel(
    figure: Figure,
    place: Place,
    groupBy: DrillGroup,
    above: DrillSums,
    level: Drill,
  ): void {
    this.levels += 1;
    const where = `${showPlace(place)} by ${groupBy}`;
    for (const measure of SUMS) {
      this.same(figure, `${where}: ${measure}`, above[measure], level.total[measure]);
      const sum = level.rows.reduce((total, row) => total + row[measure], level.rest?.[measure] ?? 0);
      this.same(figure, `${where}: sum of rows, ${measure}`, level.total[measure], sum);
    }
  }

  /** All turns of a place against their lines: worth = spent + absorbed + what went to the tenant's own keys. */
  private async compareLedger(figure: Figure, place: Place, runs: Drill): Promise<void> {
    this.levels += 1;
    if (runs.rest) throw new Error(`${figure.name} has more turns than one answer holds`);
    const lines = runs.rows.flatMap(({ key }) => this.linesOf(place, key));
    const own = await this.ownMicros(place);
    const booked = spentOf(lines) + absorbedOf(lines) + own;
    this.same(figure, "turns", runs.total.costMicros, sumOf(runs.rows));
    this.same(figure, "ledger, own keys", runs.total.costMicros, booked);
    if (figure.isCharged === true) this.same(figure, "lines to spent", figure.micros, spentOf(lines));
  }

  /** One turn against its lines, read anew as the page does. */
  private async compareLines(figure: Figure, place: Place, sums: DrillSums): Promise<void> {
    this.levels += 1;
    const { run } = place;
    if (run === undefined) return;
    const { transfers } = (await this.get(`ledger?limit=500&run=${encodeURIComponent(run)}`)) as {
      transfers: Line[];
    };
    const lines = transfers.filter((line) => this.isIn(line, place));
    const booked = spentOf(lines) + absorbedOf(lines) + (await this.ownMicros(place));
    this.same(figure, `${showPlace(place)}: ledger lines`, sums.costMicros, booked);
  }

  private async ownMicros(place: Place): Promise<number> {
    const { rows } = await this.drill(place, "model");
    return sumOf(rows.filter(({ key }) => key.startsWith(`${OWN_PROVIDER}/`)));
  }

  private linesOf(place: Place, run: string): Line[] {
    return (this.byRun.get(run) ?? []).filter((line) => this.isIn(line, place));
  }

  /** A turn has one person, agent, session and channel; its days and models have to be looked at. */
  private isIn(line: Line, place: Place): boolean {
    const day = this.dayFormat.format(line.atMs);
    const { provider = "", model = "" } = line.details;
    const name = provider === "" && model === "" ? "-" : `${provider}/${model}`;
    if (place.model !== undefined && name !== place.model) return false;
    if (place.day !== undefined) return day === place.day;
    return (place.from ?? "") <= day && day <= (place.to ?? "9");
  }

  private same(figure: Figure, level: string, expected: number, found: number): void {
    if (expected !== found) this.mismatches.push({ figure: figure.name, level, expected, found });
  }
}

function showPlace(place: Place): string {
  const { from, to, ...filters } = place;
  const span = filters.day === undefined ? [`${from}..${to}`] : [];
  return [...span, ...Object.entries(filters).map(([name, key]) => `${name}=${key}`)].join(" ");
}

function sumOf(rows: readonly DrillSums[]): number {
  return rows.reduce((sum, row) => sum + row.costMicros, 0);
}

function tokensOf(sums: DrillSums): number {
  return TOKENS.reduce((sum, name) => sum + sums[name], 0);
}

function spentOf(lines: readonly Line[]): number {
  return lines.filter(({ to }) => to === "spent").reduce((sum, line) => sum + line.amountMicros, 0);
}

function absorbedOf(lines: readonly Line[]): number {
  return lines.filter(({ kind }) => kind === "overrun").reduce((sum, line) => sum + line.amountMicros, 0);
}
