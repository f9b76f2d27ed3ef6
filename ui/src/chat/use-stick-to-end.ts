/** Keeps a growing view at its end unless the reader has scrolled away. Owns: that rule. Refuses to know: what grows. */
import { type RefObject, useCallback, useEffect, useLayoutEffect, useRef, useState } from "react";

const NEAR_PX = 80;

/** Where the reader is, and the way back to the end. */
export interface StickToEnd {
  viewRef: RefObject<HTMLDivElement | null>;
  bodyRef: RefObject<HTMLDivElement | null>;
  away: boolean;
  toEnd: () => void;
}

/** Watches the scrolling view and its body; `resetKey` names the conversation. */
export function useStickToEnd(resetKey: string): StickToEnd {
  const viewRef = useRef<HTMLDivElement | null>(null);
  const bodyRef = useRef<HTMLDivElement | null>(null);
  const stuck = useRef(true);
  const [away, setAway] = useState(false);
  const jump = useCallback(() => {
    const view = viewRef.current;
    if (view) view.scrollTop = view.scrollHeight;
  }, []);
  const toEnd = useCallback(() => {
    stuck.current = true;
    setAway(false);
    jump();
  }, [jump]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: another conversation begins at its own end
  useLayoutEffect(() => {
    toEnd();
  }, [resetKey, toEnd]);
  useEffect(() => {
    const view = viewRef.current;
    const body = bodyRef.current;
    if (!view || !body) return;
    let lastTop = view.scrollTop;
    const onScroll = () => {
      const near = view.scrollHeight - view.scrollTop - view.clientHeight < NEAR_PX;
      // Growing text fires late scroll events too; only a move upwards is the reader's own wish.
      if (near) stuck.current = true;
      else if (view.scrollTop < lastTop) stuck.current = false;
      lastTop = view.scrollTop;
      setAway(!stuck.current);
    };
    const observer = new ResizeObserver(() => {
      if (stuck.current) jump();
    });
    view.addEventListener("scroll", onScroll, { passive: true });
    observer.observe(body);
    observer.observe(view);
    return () => {
      view.removeEventListener("scroll", onScroll);
      observer.disconnect();
    };
  }, [jump]);
  return { viewRef, bodyRef, away, toEnd };
}
