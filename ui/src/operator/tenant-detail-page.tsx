/** One organization as an operator sees it, and what may be done to it. Owns: the page. Refuses to know: its contents. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { isStepUp, useFreshProof, useStepUp } from "../account/step-up.tsx";
import { actionWords, detailPairs } from "../audit/audit-words.ts";
import { useAccount } from "../http/account.ts";
import {
  findOperatedTenant,
  type OperatedTenantDetail,
  restoreTenant,
  resumeTenant,
} from "../http/operator.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { Button } from "../parts/button.tsx";
import { Sheet } from "../parts/page-frame.tsx";
import { Problem, Skeleton } from "../parts/states.tsx";
import { TenantMoney } from "./money/tenant-money.tsx";
import { type OperatorAct, OperatorDialog } from "./operator-dialog.tsx";
import { OperatorPage } from "./operator-page.tsx";
import { TenantState } from "./tenant-state.tsx";

function Facts(props: { tenant: OperatedTenantDetail }) {
  const words = useWords();
  const formats = useFormats();
  const { tenant } = props;
  const facts: [string, string][] = [
    [words.operator.address, tenant.slug],
    [words.operator.oldAddresses, tenant.oldSlugs.join(", ") || "–"],
    [words.operator.hosts, tenant.hosts.join(", ") || "–"],
    [words.operator.id, tenant.id],
    [words.operator.plan, tenant.plan],
    [words.operator.timeZone, tenant.timeZone],
    [words.operator.made, formats.day(new Date(tenant.createdAtMs))],
    [words.operator.members, formats.count(tenant.members)],
    [words.operator.storage, formats.bytes(tenant.storageBytes)],
    [
      words.operator.lastActivity,
      tenant.lastActivityAtMs === null
        ? words.time.never
        : formats.dayTime(new Date(tenant.lastActivityAtMs)),
    ],
    [
      words.operator.asksConsent,
      tenant.breakGlassConsent ? words.operator.consentNeeded : words.operator.consentNotNeeded,
    ],
    ...(tenant.reason === null ? [] : [[words.operator.because, tenant.reason] as [string, string]]),
  ];
  return (
    <Sheet className="p-4 sm:p-6">
      <dl className="grid gap-x-8 gap-y-3 text-m sm:grid-cols-2">
        {facts.map(([name, value]) => (
          <div key={name} className="grid">
            <dt className="text-xs text-ink-3">{name}</dt>
            <dd className="min-w-0 break-words">{value}</dd>
          </div>
        ))}
      </dl>
    </Sheet>
  );
}

function Story(props: { tenant: OperatedTenantDetail }) {
  const words = useWords();
  const formats = useFormats();
  if (props.tenant.history.length === 0) return null;
  return (
    <section className="grid gap-3">
      <h2 className="text-l font-semibold">{words.operator.history}</h2>
      <Sheet>
        <ul className="divide-y divide-line">
          {props.tenant.history.map((event) => (
            <li key={`${event.atMs}/${event.action}`} className="grid gap-0.5 px-4 py-3 sm:px-6">
              <p className="text-m">
                <span className="font-semibold">{event.actorName}</span>
                <span className="text-ink-2">{` · ${actionWords(event.action, words)}`}</span>
              </p>
              <p className="text-xs break-words text-ink-3">
                {[
                  formats.dayTime(new Date(event.atMs)),
                  ...detailPairs(event.details, formats.dayTime)
                    // Each line is about the one organization of this page.
                    .filter(([name]) => name !== "tenantId")
                    .map(([name, value]) => `${name}: ${value}`),
                ].join(" · ")}
              </p>
            </li>
          ))}
        </ul>
      </Sheet>
    </section>
  );
}

function Acts(props: {
  tenant: OperatedTenantDetail;
  onAsk: (act: OperatorAct) => void;
  onDone: () => void;
}) {
  const words = useWords();
  const guard = useStepUp();
  const [failure, setFailure] = useState<Error>();
  const { tenant, onAsk } = props;
  const run = (act: () => Promise<unknown>) => {
    setFailure(undefined);
    guard(act).then(props.onDone, (error: unknown) => {
      if (!isStepUp(error)) setFailure(error instanceof Error ? error : new Error(String(error)));
    });
  };
  return (
    <div className="grid gap-3">
      {failure ? <Problem compact error={failure} /> : null}
      <div className="flex flex-wrap gap-2">
        <Button onClick={() => onAsk("change")}>{words.operator.change}</Button>
        {tenant.status === "active" ? (
          <Button onClick={() => onAsk("suspend")}>{words.operator.suspend}</Button>
        ) : null}
        {tenant.status === "suspended" ? (
          <Button onClick={() => run(() => resumeTenant(tenant.id))}>{words.operator.resume}</Button>
        ) : null}
        {tenant.status === "deleting" ? null : (
          <Button onClick={() => onAsk(tenant.breakGlass === null ? "look" : "end_look")}>
            {tenant.breakGlass === null ? words.operator.look : words.operator.endLook}
          </Button>
        )}
        {tenant.breakGlass?.state === "active" ? (
          <Button tone="primary" onClick={() => location.assign(`/t/${encodeURIComponent(tenant.slug)}/`)}>
            {words.operator.open}
          </Button>
        ) : null}
        {tenant.status === "deleting" ? (
          <Button onClick={() => run(() => restoreTenant(tenant.id))}>{words.operator.restore}</Button>
        ) : (
          <Button tone="danger" onClick={() => onAsk("delete")}>
            {words.act.delete}
          </Button>
        )}
      </div>
    </div>
  );
}

/** The page of one organization. */
export function TenantDetailPage(props: { id: string }) {
  const words = useWords();
  const queries = useQueryClient();
  const [act, setAct] = useState<OperatorAct>();
  const isFresh = useFreshProof();
  const { data: account } = useAccount();
  const ask = (wish: OperatorAct) => {
    const isWeighty = wish === "delete" || wish === "look";
    if (!isWeighty || isFresh(account?.authAtMs ?? 0)) setAct(wish);
  };
  const answer = useQuery({
    queryKey: ["operator", "tenant", props.id],
    queryFn: () => findOperatedTenant(props.id),
  });
  const refresh = () => void queries.invalidateQueries({ queryKey: ["operator"] });
  const tenant = answer.data;
  return (
    <OperatorPage
      title={tenant?.name ?? words.operator.tenants}
      {...(tenant ? { actions: <TenantState tenant={tenant} /> } : {})}
    >
      {answer.isError ? (
        <Problem title={words.operator.failed} error={answer.error} onRetry={() => void answer.refetch()} />
      ) : tenant ? (
        <>
          <Acts tenant={tenant} onAsk={ask} onDone={refresh} />
          <Facts tenant={tenant} />
          <TenantMoney
            key={tenant.id}
            tenant={{ id: tenant.id, name: tenant.name }}
            isGoing={tenant.status === "deleting"}
          />
          <Story tenant={tenant} />
          <OperatorDialog act={act} tenant={tenant} onClose={() => setAct(undefined)} onDone={refresh} />
        </>
      ) : (
        <Skeleton lines={8} label={words.operator.tenants} />
      )}
    </OperatorPage>
  );
}
