/** An element inside a browser, as far as tests read it there. Owns: that type; those of the browser are not loaded here. */

/** As much of an element as is read. */
export interface Part {
  textContent: string | null;
  firstElementChild: Part | null;
  closest(selector: string): Part | null;
  getAttribute(name: string): string | null;
  querySelector(selector: string): Part | null;
  querySelectorAll(selector: string): ArrayLike<Part> & Iterable<Part>;
}
