/** What storage costs. Owns: the share of a day, its rounding. Refuses to know: who pays, how much there is. */

const GIB = 1024n ** 3n;

/**
 * Micro-units for keeping so many bytes on one day, at a price per GiB and month: the day's share of its calendar month,
 * rounded up once. Zero for nothing or without a price.
 */
export function dayOfStorage(sizeBytes: number, monthlyMicros: number, day: string): number {
  const [year, month] = day.split("-").map(Number) as [number, number];
  const days = new Date(Date.UTC(year, month, 0)).getUTCDate();
  const share = GIB * BigInt(days);
  return Number((BigInt(sizeBytes) * BigInt(monthlyMicros) + share - 1n) / share);
}
