/** The Control UI's pure rules: what a transcript becomes, what a page replaces, what a spreadsheet may see. */
import { describe, expect, it } from "vitest";
import { startOfDay } from "../../ui/src/billing/day-start.ts";
import { readTopUp } from "../../ui/src/billing/top-up/top-up-amount.ts";
import { listWarnings, type MoneyWarning, warningLevel } from "../../ui/src/billing/warnings.ts";
import { foldTranscript } from "../../ui/src/chat/fold-transcript.ts";
import { applyAgentEvent, applyChatEvent, runParts, startRun } from "../../ui/src/chat/live-run.ts";
import { failureText } from "../../ui/src/chat/run-failure.ts";
import { holdsAnswer, localRows, takeRow, takeTail } from "../../ui/src/chat/transcript-rows.ts";
import type { TranscriptRow } from "../../ui/src/gateway/wire.ts";
import type { BillingOverview, Budget, BudgetScope } from "../../ui/src/http/billing.ts";
import { en } from "../../ui/src/i18n/en.ts";
import { decimalOf, makeMoney, parseMicros } from "../../ui/src/i18n/money.ts";
import { zhCN } from "../../ui/src/i18n/zh-cn.ts";
import { groupSessions } from "../../ui/src/sessions/group-sessions.ts";
import { joinKey, sessionPath, splitKey, titleOf } from "../../ui/src/sessions/session-key.ts";
import { slugFrom } from "../../ui/src/sign-in/slug.ts";
import { drillPath, placeBelow, readPlace, turnPath } from "../../ui/src/usage/drill-path.ts";
import { csvCell, csvText, daysBefore, daysOf } from "../../ui/src/usage/usage-numbers.ts";

function row(seq: number, role: string, text: string, runId?: string): TranscriptRow {
  const id = `r${seq}`;
  return {
    role,
    content: [{ type: "text", text }],
    __openclaw: { id, seq, ...(runId === undefined ? {} : { runId }) },
  };
}

const seqs = (rows: readonly TranscriptRow[]) => rows.map((one) => one.__openclaw?.seq);

describe("a page of history", () => {
  it("replaces the rows it covers and keeps the ones before it", () => {
    const before = [row(1, "user", "a"), row(2, "assistant", "b"), row(3, "user", "old")];
    const after = takeTail(before, [row(3, "user", "new"), row(4, "assistant", "c")]);
    expect(seqs(after)).toEqual([1, 2, 3, 4]);
    expect(after[2]).toMatchObject({ content: [{ text: "new" }] });
  });

  it("drops rows that a hole would part from it", () => {
    const after = takeTail([row(1, "user", "a")], [row(9, "user", "b")]);
    expect(seqs(after)).toEqual([9]);
  });

  it("keeps an answer that the server does not store, until it does", () => {
    const stored = [row(1, "user", "hi"), row(2, "assistant", "hello", "run-1")];
    const run = { ...startRun("run-2", 5), text: "Tokens: 3", ended: "final" as const };
    expect(holdsAnswer(stored, "run-2")).toBe(false);
    const shown = [...stored, ...localRows(run, "/status", stored)];
    const kept = takeTail(shown, [...stored, row(3, "user", "next")]);
    expect(kept.map((one) => one.role)).toEqual(["user", "assistant", "user", "assistant", "user"]);
    const replaced = takeRow(kept, row(4, "assistant", "Tokens: 3", "run-2"));
    expect(
      replaced.filter((one) => one.__openclaw?.runId === "run-2" && one.role === "assistant"),
    ).toHaveLength(1);
  });
});

describe("a live run", () => {
  it("shows text and tools in the order they came", () => {
    const event = (text: string) => ({
      runId: "r",
      sessionKey: "k",
      state: "delta" as const,
      message: { role: "assistant", content: [{ type: "text", text }] },
    });
    let run = applyChatEvent(startRun("r", 0), event("Let me look."));
    const tool = (data: Record<string, unknown>) => ({
      runId: "r",
      stream: "tool",
      data: { toolCallId: "c1", ...data },
    });
    run = applyAgentEvent(run, tool({ phase: "start", name: "read", args: { path: "a" } }), 100);
    run = applyChatEvent(run, event("Let me look.\n\nIt says 5."));
    run = applyAgentEvent(run, tool({ phase: "result", isError: true, result: { content: [] } }), 350);
    const parts = runParts(run).map((part) => (part.kind === "text" ? part.text : part.tool));
    expect(parts[0]).toBe("Let me look.");
    expect(parts[1]).toMatchObject({ name: "read", status: "failed", durationMs: 250 });
    expect(parts[2]).toBe("It says 5.");
    expect(parts).toHaveLength(3);
  });

  it("keeps the whole text when the last event holds only its end", () => {
    const run = { ...startRun("r", 0), text: "One.\n\nTwo." };
    const message = { role: "assistant", content: [{ type: "text", text: "Two." }] };
    expect(applyChatEvent(run, { runId: "r", sessionKey: "k", state: "final", message })).toMatchObject({
      text: "One.\n\nTwo.",
      ended: "final",
    });
  });
});

describe("a stored transcript", () => {
  it("becomes one block per speaker, with each result in its call", () => {
    const call: TranscriptRow = {
      ...row(2, "assistant", "Looking."),
      content: [{ type: "toolCall", id: "c1", name: "read", arguments: { path: "a" } }],
    };
    const result: TranscriptRow = { ...row(3, "toolResult", "42"), toolCallId: "c1", isError: false };
    const turns = foldTranscript([row(1, "user", "read a"), call, result, row(4, "assistant", "It is 42.")]);
    expect(turns.map((turn) => turn.kind)).toEqual(["user", "assistant"]);
    expect(turns[1]).toMatchObject({
      parts: [
        { kind: "tool", tool: { status: "done", output: "42" } },
        { kind: "text", text: "It is 42." },
      ],
    });
  });
});

describe("the list of conversations", () => {
  it("stands under pinned, today and earlier, and leaves archived ones out", () => {
    const now = new Date(2026, 10, 23, 12);
    const at = (hoursAgo: number) => now.getTime() - hoursAgo * 3_600_000;
    const lines = groupSessions(
      [
        { key: "a", updatedAt: at(1) },
        { key: "b", updatedAt: at(2), archived: true },
        { key: "c", updatedAt: at(20) },
        { key: "d", updatedAt: at(400), pinned: true },
        { key: "e", updatedAt: at(900) },
      ],
      now,
    );
    expect(lines.map((line) => line.key)).toEqual([
      ...["heading:pinned", "d", "heading:today", "a"],
      ...["heading:yesterday", "c", "heading:earlier", "e"],
    ]);
  });

  it("addresses any key and reads it back", () => {
    for (const key of ["agent:main:main", "agent:research:dashboard:1-2", "agent:main:a/b?c#d %"]) {
      const { agentId, session } = splitKey(key);
      expect(joinKey(agentId, session)).toBe(key);
      expect(sessionPath(key).split("/")).toHaveLength(4);
    }
    expect(titleOf({ key: "k", label: "  Two\n lines " })).toBe("Two lines");
  });
});

describe("usage", () => {
  it("gives a spreadsheet nothing to run", () => {
    for (const evil of ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\r=1"]) {
      expect(csvCell(evil).replace(/^"/, "").startsWith("'")).toBe(true);
    }
    expect(csvCell(-1.5)).toBe("-1.5");
    expect(csvText([["a,b", 'say "hi"', 3]])).toBe('"a,b","say ""hi""",3\r\n');
  });

  it("has an entry for every day of the period", () => {
    const totals = { input: 1, output: 1, cacheRead: 0, cacheWrite: 0, totalTokens: 2, totalCost: 0 };
    const days = daysOf({
      startDate: "2026-10-24",
      endDate: "2026-10-27",
      sessions: [],
      totals,
      aggregates: { costDaily: [{ date: "2026-10-26", ...totals }] },
    });
    expect(days.map((day) => [day.date, day.totals.totalTokens])).toEqual([
      ["2026-10-24", 0],
      ["2026-10-25", 0],
      ["2026-10-26", 2],
      ["2026-10-27", 0],
    ]);
  });
});

describe("a failed answer", () => {
  const own =
    "⚠️ openai/gpt-x request failed (rate limit reached, HTTP 429). It says: Slow down. Try again in a moment.";
  const lent =
    "⚠️ harbour/deep request failed (authentication failed, HTTP 401). Please tell the operator of this service.";

  it("is told in the reader's language, with what the provider said and which model it was", () => {
    expect(failureText(own, zhCN)).toBe(`${zhCN.failures["rate_limit"]} Slow down. (openai/gpt-x, HTTP 429)`);
    expect(failureText(own, en)).not.toContain("It says");
  });

  it("sends whoever was lent the key to the operator, not to settings they do not have", () => {
    expect(failureText(lent, en)).toBe(`${en.failures["auth_lent"]} (harbour/deep, HTTP 401)`);
    expect(failureText(lent, en)).not.toContain("Settings");
  });

  it("keeps a sentence it does not know", () => {
    expect(failureText("⚠️ Access changed or was revoked while this was answered.", zhCN)).toBe(
      "Access changed or was revoked while this was answered.",
    );
  });
});

describe("the address made from a name", () => {
  it("has only what the server takes, and is empty when nothing is left", () => {
    expect(slugFrom("Fjörður Sea Farm & Smokehouse")).toBe("fjordur-sea-farm-smokehouse");
    expect(slugFrom("  Straße №5!! ")).toBe("strasse-no5");
    expect(slugFrom("远洋渔业")).toBe("");
    expect(slugFrom(`${"a".repeat(39)}-b`)).toBe("a".repeat(39));
  });
});

describe("money", () => {
  it("shows every digit and reads what was typed, without a fraction in binary", () => {
    expect(makeMoney("en", "USD").exact(9_007_199_254_740_991)).toBe("$9,007,199,254.740991");
    expect(makeMoney("en", "USD").exact(-1)).toBe("-$0.000001");
    expect(makeMoney("zh-CN", "CNY").show(12_345_678)).toBe("¥12.35");
    expect(makeMoney("en", "CNY").whole(50_000_000)).toBe("¥50");
    expect(makeMoney("en", undefined).show(12_345_678)).toBe("12.35");
    expect(decimalOf(1_100_000)).toBe("1.100000");
    expect([parseMicros("0.1"), parseMicros(" 25 "), parseMicros("1.000001")]).toEqual([
      100_000, 25_000_000, 1_000_001,
    ]);
    expect(["", "-1", "1,5", "1.0000001", "1e3", "x"].map(parseMicros)).toEqual(new Array(6).fill(undefined));
  });

  it("takes only amounts that can be paid, and says why not", () => {
    const bounds = { minMicros: 1_000_000, maxMicros: 100_000_000_000 };
    const read = (text: string) => readTopUp(text, bounds);
    expect(["1", "12.5", "0012.30", "100000"].map((text) => read(text).micros)).toEqual([
      1_000_000, 12_500_000, 12_300_000, 100_000_000_000,
    ]);
    expect(["", "-5", "1e3", "1,5", "1.001", "0.99", "100000.01"].map((text) => read(text).fault)).toEqual([
      ...["not_amount", "not_amount", "not_amount", "not_amount"],
      ...["too_fine", "too_small", "too_large"],
    ]);
  });

  it("warns of what holds now, the gravest first, and not of what was raised or taken away since", () => {
    const alert = (scope: BudgetScope, scopeId: string, level: number) => ({
      ...{ id: `${scope}${level}`, scope, scopeId, level, period: "2026-11", limitMicros: 1, spentMicros: 1 },
      atMs: 0,
    });
    const overview = (limitMicros: number | null, spentMicros: number) =>
      ({
        alerts: [alert("tenant", "plan", 95), alert("agent", "main", 80), alert("user", "gone", 100)],
        breaker: { reason: "loop", sinceMs: 7 },
        budget: { limitMicros, spentMicros, reservedMicros: 0, creditMicros: 5 },
        period: { startMs: 0, endMs: 9, timeZone: "UTC" },
        limits: { storageBytes: storage },
      }) as unknown as BillingOverview;
    let storage: { used: number; limit: number | null } = { used: 5, limit: null };
    const main = { scope: "agent", scopeId: "main", name: "Main", period: "total", limitMicros: 1000 };
    const budgets = [{ ...main, spentMicros: 800, reservedMicros: 0, resetAtMs: null }] as Budget[];
    const ids = (warned: MoneyWarning[]) => warned.map((warning) => warning.id);
    expect(ids(listWarnings(overview(1000, 950), budgets))).toEqual([
      ...["stopped:7", "tenant:plan:2026-11:1000:95", "agent:main:total:1000:80"],
    ]);
    // Raised: nothing is near any more. A plan without a budget warns of none.
    expect(ids(listWarnings(overview(10_000, 950), []))).toEqual(["stopped:7"]);
    expect(ids(listWarnings(overview(null, 950), []))).toEqual(["stopped:7"]);
    storage = { used: 79, limit: 100 };
    expect(ids(listWarnings(overview(null, 950), []))).toEqual(["stopped:7"]);
    storage = { used: 101, limit: 100 };
    expect(ids(listWarnings(overview(1000, 950), budgets))).toEqual([
      ...["stopped:7", "storage:9:100:100", "tenant:plan:2026-11:1000:95", "agent:main:total:1000:80"],
    ]);
    expect(warningLevel(799, 1000)).toBe(undefined);
    expect(warningLevel(0, 0)).toBe(undefined);
    expect(warningLevel(9_007_199_254_740_990, 9_007_199_254_740_991)).toBe(95);
  });

  it("is compared with as many days right before", () => {
    expect(daysBefore({ from: "2026-03-01", to: "2026-03-30" })).toEqual({
      ...{ from: "2026-01-30", to: "2026-02-28", days: 30 },
    });
  });

  it("knows when a day begins where clocks change", () => {
    expect(startOfDay("2026-03-29", "Europe/Oslo")).toBe(Date.UTC(2026, 2, 28, 23));
    expect(startOfDay("2026-03-29", "Europe/Oslo", 1)).toBe(Date.UTC(2026, 2, 29, 22));
    expect(startOfDay("2026-11-01", "Asia/Shanghai")).toBe(Date.UTC(2026, 9, 31, 16));
    expect(startOfDay("", "UTC")).toBe(undefined);
  });

  it("shortens amounts for an axis only where they would not fit, in both languages", () => {
    const dollars = makeMoney("en", "USD");
    const texts = [
      5_000, 1_500_000, 9_999_990_000, 10_000_000_000, 12_345_678_000_000, 987_654_321_000_000_000,
    ].map(dollars.short);
    expect(texts).toEqual(["$0.0050", "$1.50", "$9,999.99", "$10K", "$12.3M", "$987.7B"]);
    expect(makeMoney("zh-CN", "CNY").short(12_345_678_000_000)).toBe("¥1234.6万");
    for (const text of texts) expect(text.length).toBeLessThanOrEqual(9);
  });

  it("follows a figure down and never asks by what is chosen already", () => {
    let place = readPlace(new URLSearchParams("from=2026-11-01&to=2026-11-30&groupBy=day&day=&x=1"));
    const groups = ["2026-11-02", "s1", "r1"].map((key) => {
      place = placeBelow(place, key);
      return place.groupBy;
    });
    expect(groups).toEqual(["session", "run", "model"]);
    expect(drillPath(place)).toBe(
      "/usage/details?from=2026-11-01&to=2026-11-30&day=2026-11-02&session=s1&run=r1&groupBy=model",
    );
    // A turn before midnight in Shanghai, and one after it.
    expect(turnPath("r 1", Date.UTC(2026, 10, 2, 15), "Asia/Shanghai")).toBe(
      "/usage/details?from=2026-11-01&to=2026-11-03&run=r+1&groupBy=model",
    );
    expect(turnPath("r1", Date.UTC(2026, 10, 2, 17), "Asia/Shanghai")).toContain(
      "from=2026-11-02&to=2026-11-04",
    );
    expect(readPlace(new URLSearchParams("groupBy=nothing")).groupBy).toBe("day");
  });

  it("takes only days of the calendar from an address, and else the usual ones", () => {
    const read = (query: string) => readPlace(new URLSearchParams(query));
    for (const query of [
      "from=x&to=y",
      "day=foo",
      "from=2026-02-30",
      "to=2026-1-1",
      "from=2026-11-02&to=2026-11-01",
    ])
      expect(read(query)).toEqual({ from: null, to: null, groupBy: "day", filters: {} });
    expect(read("from=2024-02-29&to=2026-13-01&day=2026-11-05&user=foo")).toEqual({
      ...{ from: "2024-02-29", to: null, groupBy: "day" },
      filters: { day: "2026-11-05", user: "foo" },
    });
  });
});
