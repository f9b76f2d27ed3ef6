/** The frame of a page on the operators' surface. Owns: its title and spacing. Refuses to know: the page. */
import type { ReactNode } from "react";
import { usePlainTitle } from "../shell/use-title.ts";

/** A page of the operators with its title. */
export function OperatorPage(props: {
  title: string;
  subtitle?: string;
  actions?: ReactNode;
  children: ReactNode;
}) {
  usePlainTitle(props.title);
  return (
    <div className="mx-auto grid max-w-6xl grid-cols-1 gap-6 px-4 pt-6 pb-16 sm:px-8 sm:pt-8">
      <header className="flex flex-wrap items-end justify-between gap-4">
        <div className="grid gap-1">
          <h1 className="text-2xl font-semibold tracking-tight">{props.title}</h1>
          {props.subtitle ? <p className="max-w-2xl text-m text-ink-2">{props.subtitle}</p> : null}
        </div>
        {props.actions}
      </header>
      {props.children}
    </div>
  );
}
