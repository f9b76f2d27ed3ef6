/** Devices that ask to be let in, and whether they may. Owns: the list and its answers. Refuses to know: devices that are in. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useTenant } from "../../gateway/tenant-context.tsx";
import { callKey, useCall } from "../../gateway/use-call.ts";
import { devicesMayAsk, letDevicesAsk, type WaitingDevice } from "../../http/pairing.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { CheckField } from "../../parts/field.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Problem } from "../../parts/states.tsx";
import { WaitingLine } from "./device-lines.tsx";

const LIST = "device.pair.list";

/** Reads lists of devices again whenever the server says that they changed. */
export function useDeviceNews(onNews: () => void): void {
  const { connection } = useTenant();
  useEffect(
    () => connection.onEvent((event) => event.startsWith("device.pair.") && onNews()),
    [connection, onNews],
  );
}

/** The devices that wait; nothing while there are none. */
export function WaitingDevices() {
  const words = useWords();
  const { slug, connection } = useTenant();
  const queries = useQueryClient();
  const answer = useCall<{ pending: WaitingDevice[] }>(LIST);
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Error>();
  const decide = async (verb: "approve" | "reject", requestId: string) => {
    setBusy(true);
    setFailure(undefined);
    try {
      await connection.call(`device.pair.${verb}`, { requestId });
    } catch (error) {
      setFailure(error instanceof Error ? error : new Error(String(error)));
    } finally {
      await queries.invalidateQueries({ queryKey: callKey(slug, LIST) });
      await queries.invalidateQueries({ queryKey: ["tenant", slug, "credentials"] });
      setBusy(false);
    }
  };
  const pending = answer.data?.pending ?? [];
  if (answer.isError) return <Problem error={answer.error} onRetry={() => void answer.refetch()} />;
  if (pending.length === 0 && failure === undefined) return null;
  return (
    <section className="grid gap-3">
      <div className="grid gap-0.5">
        <h2 className="text-l font-semibold">{words.access.waiting}</h2>
        <p className="text-s text-ink-2">{words.access.waitingHint}</p>
      </div>
      {failure ? <Problem compact error={failure} /> : null}
      {pending.length > 0 ? (
        <Sheet className="border-willow/40">
          <ul className="divide-y divide-line">
            {pending.map((device) => (
              <WaitingLine
                key={device.requestId}
                device={device}
                busy={busy}
                onApprove={() => void decide("approve", device.requestId)}
                onReject={() => void decide("reject", device.requestId)}
              />
            ))}
          </ul>
        </Sheet>
      ) : null}
    </section>
  );
}

/** Whether devices nobody knows may ask at all. */
export function MayAskField() {
  const words = useWords();
  const { slug } = useTenant();
  const queries = useQueryClient();
  const key = ["tenant", slug, "pairing"];
  const answer = useQuery({ queryKey: key, queryFn: () => devicesMayAsk(slug) });
  const [failure, setFailure] = useState<Error>();
  const change = (may: boolean) => {
    setFailure(undefined);
    queries.setQueryData(key, may);
    letDevicesAsk(slug, may).catch((error: unknown) => {
      setFailure(error instanceof Error ? error : new Error(String(error)));
      void queries.invalidateQueries({ queryKey: key });
    });
  };
  if (answer.isError) return <Problem compact error={answer.error} onRetry={() => void answer.refetch()} />;
  return (
    <>
      <CheckField
        label={words.access.mayAsk}
        hint={words.access.mayAskHint}
        checked={answer.data ?? false}
        onChange={change}
      />
      {failure ? <Problem compact error={failure} /> : null}
    </>
  );
}
