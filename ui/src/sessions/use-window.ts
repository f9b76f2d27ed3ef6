/** Draws only the lines in view of a long list. Owns: that arithmetic. Refuses to know: what a line is. */
import { type RefObject, useEffect, useMemo, useRef, useState } from "react";

const OVERSCAN_PX = 400;

/** Which lines to draw, and how tall everything is. */
export interface ListWindow {
  viewRef: RefObject<HTMLDivElement | null>;
  first: number;
  last: number;
  offsets: readonly number[];
  totalPx: number;
}

function firstBelow(offsets: readonly number[], px: number): number {
  let low = 0;
  let high = offsets.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((offsets[middle] ?? 0) <= px) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** A window over lines of known heights in px. */
export function useWindow(heights: readonly number[]): ListWindow {
  const viewRef = useRef<HTMLDivElement | null>(null);
  const [view, setView] = useState({ top: 0, height: 800 });
  useEffect(() => {
    const element = viewRef.current;
    if (!element) return;
    const measure = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(measure);
    element.addEventListener("scroll", measure, { passive: true });
    observer.observe(element);
    measure();
    return () => {
      element.removeEventListener("scroll", measure);
      observer.disconnect();
    };
  }, []);
  const { offsets, totalPx } = useMemo(() => {
    let sum = 0;
    const list = heights.map((height) => {
      const before = sum;
      sum += height;
      return before;
    });
    return { offsets: list, totalPx: sum };
  }, [heights]);
  const first = firstBelow(offsets, Math.max(0, view.top - OVERSCAN_PX));
  const last = firstBelow(offsets, view.top + view.height + OVERSCAN_PX);
  return { viewRef, first, last, offsets, totalPx };
}
