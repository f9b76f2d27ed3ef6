/** The states a view can be in besides full: loading, empty, failed, forbidden. Owns: their looks. Refuses to know: which view. */
import { CircleAlert, LockKeyhole } from "lucide-react";
import { Component, type ReactNode } from "react";
import type { Tenant } from "../http/account.ts";
import { describeProblem } from "../http/describe-problem.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "./button.tsx";

/** Grey bars in the place of lines to come. */
export function Skeleton(props: { lines?: number; className?: string; label: string }) {
  const widths = ["w-11/12", "w-8/12", "w-10/12", "w-6/12", "w-9/12"];
  return (
    <div role="status" className={`grid gap-3 ${props.className ?? ""}`}>
      <span className="sr-only">{props.label}</span>
      {Array.from({ length: props.lines ?? 4 }, (_, line) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: identical, stateless bars
        <div key={line} className={`skeleton h-4 ${widths[line % widths.length]}`} />
      ))}
    </div>
  );
}

/** What is here when nothing is here, and the one next step. */
export function Empty(props: {
  icon?: ReactNode;
  title: string;
  hint?: string;
  children?: ReactNode;
  level?: 1 | 2;
}) {
  const Title = props.level === 1 ? "h1" : "p";
  return (
    <div className="grid justify-items-center gap-2 px-4 py-12 text-center">
      {props.icon ? <div className="mb-1 text-ink-3">{props.icon}</div> : null}
      <Title className="text-l font-semibold">{props.title}</Title>
      {props.hint ? <p className="max-w-md text-m text-ink-2">{props.hint}</p> : null}
      {props.children ? (
        <div className="mt-3 flex flex-wrap justify-center gap-2">{props.children}</div>
      ) : null}
    </div>
  );
}

interface ProblemProps {
  error: Error;
  title?: string;
  onRetry?: () => void;
  compact?: boolean;
}

/** What happened, what to do, and an id to quote. */
export function Problem(props: ProblemProps) {
  const words = useWords();
  const problem = describeProblem(props.error, words);
  return (
    <div
      role="alert"
      className={`flex gap-3 rounded-medium border border-danger/30 bg-danger-soft text-s ${props.compact ? "p-3" : "flex-wrap p-4"}`}
    >
      <CircleAlert size={18} aria-hidden className="mt-px shrink-0 text-danger" />
      <div className={`grid flex-1 gap-1 ${props.compact ? "min-w-0" : "min-w-44"}`}>
        <p className="font-semibold text-ink">{props.title ?? words.problem.title}</p>
        <p className="break-words text-ink-2">{problem.hint}</p>
        {props.compact && props.onRetry ? (
          <div className="pt-1">
            <Button small onClick={props.onRetry}>
              {words.act.retry}
            </Button>
          </div>
        ) : null}
        {problem.requestId ? (
          <p className="font-mono text-xs break-all text-ink-2">
            {words.problem.requestId(problem.requestId)}
          </p>
        ) : null}
      </div>
      {props.onRetry && !props.compact ? (
        <Button small onClick={props.onRetry}>
          {words.act.retry}
        </Button>
      ) : null}
    </div>
  );
}

/** A page this role does not reach, and whom to ask. */
export function Forbidden(props: { tenant: Pick<Tenant, "role" | "isReadOnly" | "breakGlass"> }) {
  const words = useWords();
  const { role, isReadOnly, breakGlass } = props.tenant;
  const isClosed = isReadOnly && !breakGlass;
  const hint = breakGlass
    ? words.forbidden.lookIn
    : isReadOnly
      ? words.forbidden.suspended
      : words.forbidden.hint(words.role[role]);
  return (
    <Empty
      level={1}
      icon={<LockKeyhole size={28} aria-hidden />}
      title={isClosed ? words.link.suspendedTitle : words.forbidden.title}
      hint={hint}
    />
  );
}

/** Keeps a broken part from taking the page with it. */
export class Bulkhead extends Component<
  { children: ReactNode; message: string; retry: string; resetKey?: string },
  { failed: boolean }
> {
  override state = { failed: false };

  static getDerivedStateFromError() {
    return { failed: true };
  }

  override componentDidUpdate(before: { resetKey?: string }) {
    if (this.state.failed && before.resetKey !== this.props.resetKey) this.setState({ failed: false });
  }

  override render() {
    if (!this.state.failed) return this.props.children;
    return (
      <Empty title={this.props.message}>
        <Button onClick={() => location.reload()}>{this.props.retry}</Button>
      </Empty>
    );
  }
}
