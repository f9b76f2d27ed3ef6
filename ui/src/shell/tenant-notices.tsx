/** Lines above the pages: an operator who looks in, a suspended organization, ownership on offer. Owns: those lines. Refuses to know: the pages. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Crown, Eye, Lock } from "lucide-react";
import { useLocation } from "wouter";
import { useScope, useTenant } from "../gateway/tenant-context.tsx";
import { ACCOUNT_KEY } from "../http/account.ts";
import { endBreakGlass } from "../http/operator.ts";
import {
  acceptOwnership,
  answerBreakGlass,
  type BreakGlass,
  listBreakGlass,
  listMyOffers,
  refuseOwnership,
} from "../http/people.ts";
import { HttpFailure } from "../http/request.ts";
import { useFormats } from "../i18n/formats.ts";
import { useWords } from "../i18n/words-context.tsx";
import { useToast } from "../parts/toasts.tsx";
import { NoticeAnswer, NoticeLine } from "./notice-line.tsx";

const PERIOD_MS = 60_000;

function LookLine(props: {
  grant: BreakGlass;
  mayAnswer: boolean;
  onAnswer: (answer: "consent" | "refuse" | "end") => void;
}) {
  const words = useWords();
  const formats = useFormats();
  const { grant } = props;
  const waiting = grant.state === "waiting";
  const said = waiting
    ? words.operator.bannerWaiting(grant.operatorName)
    : words.operator.banner(grant.operatorName, formats.moment(new Date(grant.endsAtMs ?? 0)));
  return (
    <NoticeLine
      icon={<Eye size={16} aria-hidden className="mt-0.5 shrink-0" />}
      text={`${said} “${grant.reason}”`}
    >
      {props.mayAnswer && waiting ? (
        <>
          <NoticeAnswer text={words.operator.consent} onClick={() => props.onAnswer("consent")} />
          <NoticeAnswer text={words.operator.refuse} onClick={() => props.onAnswer("refuse")} />
        </>
      ) : null}
      {props.mayAnswer && !waiting ? (
        <NoticeAnswer text={words.operator.end} onClick={() => props.onAnswer("end")} />
      ) : null}
    </NoticeLine>
  );
}

/** What an operator who looks in sees of it themselves. */
function OwnLook(props: { until: number | null | undefined }) {
  const words = useWords();
  const formats = useFormats();
  const { tenant } = useTenant();
  const end = () => {
    void endBreakGlass(tenant.id).finally(() => location.assign("/operator"));
  };
  return (
    <NoticeLine
      icon={<Eye size={16} aria-hidden className="mt-0.5 shrink-0" />}
      text={props.until ? words.lookIn.you(formats.moment(new Date(props.until))) : words.lookIn.youNow}
    >
      <NoticeAnswer text={words.lookIn.end} onClick={end} />
    </NoticeLine>
  );
}

/** Ownership on offer to somebody; on the members page the list there shows it. */
function Offers() {
  const words = useWords();
  const toast = useToast();
  const { slug } = useTenant();
  const queries = useQueryClient();
  const [path] = useLocation();
  const isMembersPage = useScope("operator.admin") && path === "/members";
  const key = ["tenant", slug, "my-offers"];
  const offers = useQuery({ queryKey: key, queryFn: () => listMyOffers(slug), refetchInterval: PERIOD_MS });
  const answer = (work: Promise<unknown>) => {
    work
      .then(() => toast(words.act.saved))
      .catch((error: unknown) => {
        const code = error instanceof HttpFailure ? error.code : "";
        toast(words.problem.codes[code] ?? String(error));
      })
      .finally(() => {
        void queries.invalidateQueries({ queryKey: key });
        void queries.invalidateQueries({ queryKey: ACCOUNT_KEY });
      });
  };
  if (isMembersPage) return null;
  return (offers.data ?? [])
    .filter((offer) => offer.isToYou)
    .map((offer) => (
      <NoticeLine
        key={offer.id}
        icon={<Crown size={16} aria-hidden className="mt-0.5 shrink-0" />}
        text={words.members.offerFrom(offer.displayName)}
      >
        <NoticeAnswer text={words.members.accept} onClick={() => answer(acceptOwnership(slug, offer.id))} />
        <NoticeAnswer text={words.members.refuse} onClick={() => answer(refuseOwnership(slug, offer.id))} />
      </NoticeLine>
    ));
}

/** The lines; most of the time there are none. */
export function TenantNotices() {
  const words = useWords();
  const { slug, tenant } = useTenant();
  const queries = useQueryClient();
  // In the grace of a suspension nobody has admin rights; saying no to a look must be possible all the same.
  const isAdmin = tenant.role === "owner" || tenant.role === "admin";
  const mayAnswer = isAdmin && !tenant.breakGlass;
  const key = ["tenant", slug, "break-glass"];
  const looks = useQuery({ queryKey: key, queryFn: () => listBreakGlass(slug), refetchInterval: PERIOD_MS });
  const open = (looks.data ?? []).filter((grant) => grant.state === "waiting" || grant.state === "active");
  const answer = (id: string, word: "consent" | "refuse" | "end") => {
    void answerBreakGlass(slug, id, word).finally(() => queries.invalidateQueries({ queryKey: key }));
  };
  return (
    <>
      {tenant.breakGlass ? (
        <OwnLook until={open.find((grant) => grant.state === "active")?.endsAtMs} />
      ) : null}
      {tenant.breakGlass ? null : <Offers />}
      {tenant.isReadOnly && !tenant.breakGlass ? (
        <NoticeLine
          icon={<Lock size={16} aria-hidden className="mt-0.5 shrink-0" />}
          text={words.operator.bannerReadOnly}
        />
      ) : null}
      {(tenant.breakGlass ? [] : open).map((grant) => (
        <LookLine
          key={grant.id}
          grant={grant}
          mayAnswer={mayAnswer}
          onAnswer={(word) => answer(grant.id, word)}
        />
      ))}
    </>
  );
}
