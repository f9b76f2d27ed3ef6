/** One page that is photographed. Owns: its shape. Refuses to know: which pages there are. */
import type { Who } from "./harbour.ts";
import type { Stage } from "./stage.ts";

/** One page; `whole` makes the window as tall as its content. */
export interface Picture {
  name: string;
  who?: Who;
  whole?: boolean;
  open(stage: Stage): Promise<void>;
  /** Puts back what would show in later pictures. */
  leave?(stage: Stage): Promise<void>;
}

/** Opens a path and does nothing else. */
export const at = (path: string) => (stage: Stage) => stage.go(path);
