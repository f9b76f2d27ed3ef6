/** Counting words. Owns: the type of a plural rule. Refuses to know: any language. */

/** A number with the noun form that fits it. */
export type Plural = (n: number, one: string, other: string) => string;
