/**
 * `creel doctor`: looks at a deployment and says what is wrong and how to fix it. Owns: the order of checks, the verdict.
 * Refuses to know: how each thing is checked (doctor/checks).
 */
import type { Command } from "./command.ts";
import { CHECKS, type Finding } from "./doctor/checks.ts";

const MARKS = { ok: "ok   ", warning: "warn ", error: "ERROR" } as const;

/** The command. */
export const DOCTOR: Command = {
  name: "doctor",
  usage: "[--config FILE]",
  summary:
    "Check state, permissions, disk, clock, configuration and databases; says how to fix what it finds.",
  options: { config: { type: "string" } },
  positionals: 0,
  async run(call) {
    const findings: Finding[] = [];
    for (const check of CHECKS) findings.push(...(await check({ ...call, config: call.flag("config") })));
    const errors = findings.filter((finding) => finding.level === "error").length;
    const warnings = findings.filter((finding) => finding.level === "warning").length;
    call.out.answer({ ok: errors === 0, errors, warnings, findings }, [
      ...findings.flatMap((finding) => [
        `${MARKS[finding.level]}  ${finding.subject}: ${finding.message}`,
        ...(finding.fix === undefined ? [] : [`       fix: ${finding.fix}`]),
      ]),
      errors === 0 ? `No errors, ${warnings} warnings.` : `${errors} errors, ${warnings} warnings.`,
    ]);
    return errors === 0 ? 0 : 1;
  },
};
