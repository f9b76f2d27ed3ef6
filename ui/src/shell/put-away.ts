/** Warnings that somebody has read. Owns: remembering them in this browser. Refuses to know: what they said. */
import { useState } from "react";

const MOST = 50;
const keyOf = (slug: string) => `creel.put-away.${slug}`;

function read(slug: string): readonly string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(keyOf(slug)) ?? "[]");
    return Array.isArray(kept) ? kept.filter((id) => typeof id === "string") : [];
  } catch {
    return [];
  }
}

/** The ids of what was put away, the newest last, and putting away one more. */
export function usePutAway(slug: string): [readonly string[], (id: string) => void] {
  const [ids, setIds] = useState(() => read(slug));
  const putAway = (id: string) => {
    // Another tab may have put away something else meanwhile.
    const next = [...read(slug).filter((other) => other !== id), id].slice(-MOST);
    setIds([...new Set([...ids, ...next])]);
    try {
      localStorage.setItem(keyOf(slug), JSON.stringify(next));
    } catch {
      // Without storage it is away until the page is loaded again.
    }
  };
  return [ids, putAway];
}
