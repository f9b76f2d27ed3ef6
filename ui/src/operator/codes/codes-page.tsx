/** Redemption codes as they were made. Owns: their list and the way to new ones. Refuses to know: the codes, which are kept nowhere. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Plus, Ticket } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { useFreshProof, useStepUp } from "../../account/step-up.tsx";
import { useAccount } from "../../http/account.ts";
import { type CodeBatch, listCodes, voidCodes } from "../../http/operator-codes.ts";
import { useFormats } from "../../i18n/formats.ts";
import { useMoney } from "../../i18n/use-money.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Badge } from "../../parts/badge.tsx";
import { Button } from "../../parts/button.tsx";
import { ConfirmDialog } from "../../parts/dialog.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Empty, Problem, Skeleton } from "../../parts/states.tsx";
import { useToast } from "../../parts/toasts.tsx";
import { OperatorPage } from "../operator-page.tsx";
import { MakeCodesDialog } from "./make-codes-dialog.tsx";

function Redemptions({ batch }: { batch: CodeBatch }) {
  const m = useWords().operatorMoney;
  const formats = useFormats();
  const { redemptions, redeemed } = batch;
  return (
    <details className="text-s">
      <summary className="w-fit cursor-pointer text-ink-2 underline-offset-4 hover:underline">
        {m.redeemedBy}
      </summary>
      <ul className="mt-2 grid gap-1">
        {redemptions.map(({ tenantId, name, slug, atMs }, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: one organization may redeem several at one instant
          <li key={place} className="flex flex-wrap gap-x-3">
            {name === null ? (
              <span className="text-ink-2">{m.goneTenant}</span>
            ) : (
              <Link
                href={`/tenants/${encodeURIComponent(tenantId)}`}
                className="font-semibold underline-offset-4 hover:underline"
              >
                {name || slug}
              </Link>
            )}
            <span className="text-ink-3">{formats.dayTime(new Date(atMs))}</span>
          </li>
        ))}
        {redeemed > redemptions.length ? (
          <li className="text-ink-3">{m.moreRedeemed(redeemed - redemptions.length)}</li>
        ) : null}
      </ul>
    </details>
  );
}

function BatchLine({ batch, onVoid }: { batch: CodeBatch; onVoid: () => void }) {
  const m = useWords().operatorMoney;
  const formats = useFormats();
  const money = useMoney(batch.currency);
  const { made, redeemed, expiresAtMs } = batch;
  const state = redeemed === made ? "used" : batch.isExpired ? "expired" : "open";
  const tones = { open: "accent", used: "plain", expired: "willow" } as const;
  // The last day on which they can be used, as it was set: a day of UTC.
  const end = expiresAtMs === null ? m.noEnd : m.until(new Date(expiresAtMs - 1).toISOString().slice(0, 10));
  const who = batch.madeByName ?? m.somebodyGone;
  return (
    <li className="grid gap-1 px-4 py-4 sm:px-6">
      <p className="flex flex-wrap items-center gap-2">
        <span className="text-l font-semibold">{m.batch(made, money.show(batch.amountMicros))}</span>
        <Badge tone={tones[state]}>{m.codeStates[state]}</Badge>
        {state === "open" && batch.id !== null ? (
          <Button
            small
            className="ml-auto"
            aria-label={m.voidWhich(m.batch(made, money.show(batch.amountMicros)))}
            onClick={onVoid}
          >
            {m.voidCodes}
          </Button>
        ) : null}
      </p>
      <p className="text-m">{`${m.redeemedOf(redeemed, made)} · ${end}`}</p>
      <p className="text-s text-ink-3">{m.madeBy(formats.dayTime(new Date(batch.madeAtMs)), who)}</p>
      {redeemed > 0 ? <Redemptions batch={batch} /> : null}
    </li>
  );
}

/** The page. */
export function CodesPage() {
  const m = useWords().operatorMoney;
  const queries = useQueryClient();
  const isFresh = useFreshProof();
  const { data: account } = useAccount();
  const [making, setMaking] = useState(false);
  const [voiding, setVoiding] = useState<CodeBatch>();
  const guard = useStepUp();
  const toast = useToast();
  const answer = useQuery({ queryKey: ["operator", "codes"], queryFn: listCodes });
  const begin = () => isFresh(account?.authAtMs ?? 0) && setMaking(true);
  const make = (
    <Button tone="primary" disabled={!answer.data} onClick={begin}>
      <Plus size={18} aria-hidden />
      {m.makeCodes}
    </Button>
  );
  return (
    <OperatorPage title={m.codes} subtitle={m.codesHint} actions={make}>
      {answer.isError ? (
        <Problem error={answer.error} onRetry={() => void answer.refetch()} />
      ) : answer.isPending ? (
        <Skeleton lines={8} label={m.codes} />
      ) : (
        <Sheet>
          {answer.data.batches.length === 0 ? (
            <Empty icon={<Ticket size={28} aria-hidden />} title={m.noCodes} hint={m.noCodesHint} />
          ) : (
            <ul className="divide-y divide-line">
              {answer.data.batches.map((batch) => (
                <BatchLine
                  key={`${batch.id}/${batch.madeAtMs}/${batch.amountMicros}/${batch.expiresAtMs}/${batch.madeBy}`}
                  batch={batch}
                  onVoid={() => setVoiding(batch)}
                />
              ))}
            </ul>
          )}
        </Sheet>
      )}
      {answer.data?.isCut ? <p className="text-s text-ink-3">{m.cut(answer.data.batches.length)}</p> : null}
      <ConfirmDialog
        open={voiding !== undefined}
        onClose={() => setVoiding(undefined)}
        title={m.voidTitle}
        what={m.voidWhat((voiding?.made ?? 0) - (voiding?.redeemed ?? 0))}
        action={m.voidCodes}
        onConfirm={async () => {
          toast(m.codesVoided(await guard(() => voidCodes(voiding?.id ?? ""))));
          await queries.invalidateQueries({ queryKey: ["operator"] });
        }}
      />
      {making && answer.data ? (
        <MakeCodesDialog
          currency={answer.data.currency}
          onClose={() => setMaking(false)}
          onDone={() => void queries.invalidateQueries({ queryKey: ["operator"] })}
        />
      ) : null}
    </OperatorPage>
  );
}
