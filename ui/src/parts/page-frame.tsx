/** The frame of a page that is not a chat: bar, title, column. Owns: spacing. Refuses to know: the page. */
import type { ReactNode } from "react";
import { TopBar } from "../shell/top-bar.tsx";
import { useTitle } from "../shell/use-title.ts";

/** A scrolling page with a title. */
export function PageFrame(props: {
  title: string;
  subtitle?: string;
  actions?: ReactNode;
  children: ReactNode;
}) {
  useTitle(props.title);
  return (
    <div className="flex h-full min-h-0 flex-col">
      <TopBar narrowOnly />
      <div className="print-flow min-h-0 flex-1 overflow-y-auto">
        <div className="mx-auto grid max-w-5xl grid-cols-1 gap-6 px-4 pt-2 pb-16 sm:px-8 lg:pt-10">
          <header className="flex flex-wrap items-end justify-between gap-4">
            <div className="grid gap-1">
              <h1 className="text-2xl font-semibold tracking-tight">{props.title}</h1>
              {props.subtitle ? <p className="text-m text-ink-2">{props.subtitle}</p> : null}
            </div>
            {props.actions}
          </header>
          {props.children}
        </div>
      </div>
    </div>
  );
}

/** A raised sheet. */
export function Sheet(props: { children: ReactNode; className?: string }) {
  return (
    <section className={`rounded-large border border-line bg-card shadow-1 ${props.className ?? ""}`}>
      {props.children}
    </section>
  );
}
