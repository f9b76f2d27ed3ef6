/** The bars of usage per day. Owns: uPlot, hover and arrow keys. Refuses to know: where the numbers come from. */
import "uplot/dist/uPlot.min.css";
import { type KeyboardEvent, type MouseEvent, useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import { Link, useLocation } from "wouter";
import { type Formats, useFormats } from "../i18n/formats.ts";
import type { Money } from "../i18n/money.ts";
import { useSpeech, useWords } from "../i18n/words-context.tsx";
import { microsOf, type UsageDay } from "./usage-numbers.ts";

/** What the bars measure. */
export type Measure = "tokens" | "cost";

/** One stacked series. */
interface Layer {
  name: string;
  colour: string;
  values: number[];
}

const HEIGHT_PX = 260;

function useLayers(days: readonly UsageDay[], measure: Measure): Layer[] {
  const words = useWords();
  return useMemo(() => {
    if (measure === "cost") {
      return [
        {
          name: words.usage.cost,
          colour: "--series-1",
          values: days.map((day) => microsOf(day.totals.totalCost)),
        },
      ];
    }
    const layers: Layer[] = [
      { name: words.usage.input, colour: "--series-1", values: days.map((day) => day.totals.input) },
      { name: words.usage.output, colour: "--series-2", values: days.map((day) => day.totals.output) },
      { name: words.usage.cacheRead, colour: "--series-3", values: days.map((day) => day.totals.cacheRead) },
      {
        name: words.usage.cacheWrite,
        colour: "--series-4",
        values: days.map((day) => day.totals.cacheWrite),
      },
    ];
    return layers.filter((layer, index) => index < 2 || layer.values.some((value) => value > 0));
  }, [days, measure, words]);
}

/** The page's colours as the canvas needs them; re-read when the theme changes. */
function usePaint(names: readonly string[]): Record<string, string> {
  const [version, setVersion] = useState(0);
  useEffect(() => {
    const bump = () => setVersion((before) => before + 1);
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", bump);
    window.addEventListener("creel:theme", bump);
    return () => {
      system.removeEventListener("change", bump);
      window.removeEventListener("creel:theme", bump);
    };
  }, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the version stands for the theme
  return useMemo(() => {
    const probe = document.createElement("span");
    document.body.append(probe);
    const paint = Object.fromEntries(
      [...names, "--ink-3", "--line"].map((name) => {
        probe.style.color = `var(${name})`;
        return [name, getComputedStyle(probe).color];
      }),
    );
    probe.remove();
    return paint;
  }, [names, version]);
}

function stack(layers: readonly Layer[]): number[][] {
  const sums = new Array<number>(layers[0]?.values.length ?? 0).fill(0);
  const stacked = layers.map((layer) =>
    layer.values.map((value, index) => {
      sums[index] = (sums[index] ?? 0) + value;
      return sums[index] ?? 0;
    }),
  );
  // The tallest is drawn first, so that the lower ones lie in front of it.
  return stacked.reverse();
}

function dayLabel(date: string, language: string): string {
  return new Intl.DateTimeFormat(language, { month: "short", day: "numeric" }).format(
    new Date(`${date}T12:00:00`),
  );
}

interface PlotInput {
  days: readonly UsageDay[];
  layers: readonly Layer[];
  paint: Record<string, string>;
  width: number;
  language: string;
  format: (value: number) => string;
  face: string;
  onHover: (index: number | undefined) => void;
}

function plotOptions(input: PlotInput): uPlot.Options {
  const { days, layers, paint } = input;
  const bars = uPlot.paths.bars?.({ size: [0.62, 36], radius: 0.18 });
  const ink = paint["--ink-3"] ?? "gray";
  const line = paint["--line"] ?? "gray";
  const step = Math.max(1, Math.ceil(days.length / Math.max(2, Math.floor(input.width / 84))));
  return {
    width: input.width,
    height: HEIGHT_PX,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      x: { time: false, range: [-0.6, days.length - 0.4] },
      y: { range: (_self, _min, max) => [0, max > 0 ? max * 1.08 : 1] },
    },
    axes: [
      {
        stroke: ink,
        font: `12px ${input.face}`,
        size: 30,
        grid: { show: false },
        ticks: { show: false },
        splits: () => days.map((_, index) => index).filter((index) => (days.length - 1 - index) % step === 0),
        values: (_self, splits) => splits.map((index) => dayLabel(days[index]?.date ?? "", input.language)),
      },
      {
        stroke: ink,
        font: `12px ${input.face}`,
        size: 64,
        grid: { stroke: line, width: 1 },
        ticks: { show: false },
        values: (_self, splits) => splits.map((value) => input.format(value)),
      },
    ],
    series: [
      {},
      ...[...layers].reverse().map((layer) => ({
        label: layer.name,
        fill: paint[layer.colour] ?? "gray",
        width: 0,
        points: { show: false },
        ...(bars ? { paths: bars } : {}),
      })),
    ],
    hooks: {
      setCursor: [
        (plot) => {
          // What was read stays when the pointer goes on to the link beside the figures.
          if (typeof plot.cursor.idx === "number") input.onHover(plot.cursor.idx);
        },
      ],
    },
  };
}

function Readout(props: {
  day: UsageDay | undefined;
  layers: readonly Layer[];
  index: number;
  formats: Formats;
  money: Money;
  measure: Measure;
  pathOf: (date: string) => string;
}) {
  const words = useWords();
  const { day, formats, money } = props;
  const format = props.measure === "cost" ? money.exact : formats.count;
  return (
    <div className="flex min-h-6 flex-wrap items-center gap-x-5 gap-y-1 text-s" aria-live="polite">
      {day ? <span className="font-medium">{formats.day(new Date(`${day.date}T12:00:00`))}</span> : null}
      {props.layers.map((layer) => (
        <span key={layer.name} className="flex items-center gap-2 text-ink-2">
          <span
            aria-hidden
            className="size-2.5 rounded-[3px]"
            style={{ background: `var(${layer.colour})` }}
          />
          {layer.name}
          {day ? (
            <span className="font-medium text-ink">{format(layer.values[props.index] ?? 0)}</span>
          ) : null}
        </span>
      ))}
      {day ? (
        <Link href={props.pathOf(day.date)} className="text-accent underline-offset-4 hover:underline">
          {words.drill.followDay}
        </Link>
      ) : null}
    </div>
  );
}

function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const ref = useRef<HTMLDivElement | null>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    if (!ref.current) return;
    const observer = new ResizeObserver((entries) =>
      setWidth(Math.floor(entries[0]?.contentRect.width ?? 0)),
    );
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

/** Stacked bars per day with a readout for the day under the pointer or the keys. */
export function UsageChart(props: {
  days: readonly UsageDay[];
  measure: Measure;
  money: Money;
  /** Where a day is followed, by a click, the Enter key or the link beside its figures. */
  pathOf: (date: string) => string;
}) {
  const { days, measure, money } = props;
  const [, navigate] = useLocation();
  const { words, language } = useSpeech();
  const formats = useFormats();
  const layers = useLayers(days, measure);
  const colours = useMemo(() => layers.map((layer) => layer.colour), [layers]);
  const paint = usePaint(colours);
  const [box, width] = useWidth();
  const plot = useRef<uPlot | undefined>(undefined);
  const [index, setIndex] = useState<number>();
  useEffect(() => {
    if (!box.current || width === 0) return;
    const format = measure === "cost" ? money.short : formats.compact;
    const face = getComputedStyle(document.body).fontFamily;
    const options = plotOptions({ days, layers, paint, width, language, format, face, onHover: setIndex });
    const chart = new uPlot(options, [days.map((_, day) => day), ...stack(layers)], box.current);
    plot.current = chart;
    return () => chart.destroy();
  }, [box, days, layers, paint, width, language, measure, formats, money]);
  const pick = (at: number | null | undefined) => {
    const day = days[at ?? -1];
    if (day) navigate(props.pathOf(day.date));
  };
  const onClick = (event: MouseEvent) => {
    // A finger cannot hover: its tap reads a day, and the link beside the figures follows it.
    const isTouch = (event.nativeEvent as PointerEvent).pointerType === "touch";
    if (!isTouch) pick(plot.current?.cursor.idx);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter") pick(index);
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !plot.current) return;
    event.preventDefault();
    const next = Math.min(days.length - 1, Math.max(0, (index ?? (step > 0 ? -1 : days.length)) + step));
    plot.current.setCursor({ left: plot.current.valToPos(next, "x"), top: 10 });
    setIndex(next);
  };
  return (
    <div className="grid grid-cols-1 gap-3">
      <Readout
        day={index === undefined ? undefined : days[index]}
        index={index ?? 0}
        layers={layers}
        formats={formats}
        money={money}
        measure={measure}
        pathOf={props.pathOf}
      />
      <div
        ref={box}
        role="img"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: the arrow keys read single days
        tabIndex={0}
        aria-label={words.usage.chartLabel(
          measure === "cost" ? words.usage.cost : words.usage.tokens,
          days.length,
        )}
        onKeyDown={onKeyDown}
        onClick={onClick}
        className="-mx-2 cursor-pointer overflow-hidden rounded-small"
        style={{ height: HEIGHT_PX }}
      />
    </div>
  );
}
