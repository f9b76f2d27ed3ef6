/** Devices that act for the reader, and ending everything of theirs at once. Owns: both. Refuses to know: other people's devices. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useTenant } from "../../gateway/tenant-context.tsx";
import { type Device, listOwnDevices, removeOwnDevice, signOutEverywhere } from "../../http/identity.ts";
import { useWords } from "../../i18n/words-context.tsx";
import { Button } from "../../parts/button.tsx";
import { ConfirmDialog } from "../../parts/dialog.tsx";
import { Sheet } from "../../parts/page-frame.tsx";
import { Problem, Skeleton } from "../../parts/states.tsx";
import { DeviceLine, deviceName } from "./device-lines.tsx";

/** The sheet of one's own devices. */
export function OwnDevices() {
  const words = useWords();
  const { slug } = useTenant();
  const queries = useQueryClient();
  const [doomed, setDoomed] = useState<Device>();
  const key = ["tenant", slug, "own-devices"];
  const answer = useQuery({ queryKey: key, queryFn: () => listOwnDevices(slug) });
  return (
    <Sheet>
      <div className="grid gap-0.5 p-4 sm:px-6">
        <h2 className="text-m font-semibold">{words.ownDevices.title}</h2>
        <p className="text-xs text-ink-3">{words.ownDevices.hint}</p>
      </div>
      {answer.isError ? (
        <div className="px-4 pb-4 sm:px-6">
          <Problem compact error={answer.error} onRetry={() => void answer.refetch()} />
        </div>
      ) : !answer.data ? (
        <Skeleton lines={2} label={words.ownDevices.title} className="px-4 pb-4 sm:px-6" />
      ) : answer.data.length === 0 ? (
        <p className="px-4 pb-4 text-m text-ink-2 sm:px-6">{words.ownDevices.none}</p>
      ) : (
        <ul className="divide-y divide-line border-t border-line">
          {answer.data.map((device) => (
            <DeviceLine key={device.id} own device={device} onRemove={() => setDoomed(device)} />
          ))}
        </ul>
      )}
      <ConfirmDialog
        open={doomed !== undefined}
        onClose={() => setDoomed(undefined)}
        title={words.access.endTitle(doomed ? deviceName(doomed) : "")}
        what={words.access.endWhat}
        action={words.access.end}
        onConfirm={async () => {
          if (doomed) await removeOwnDevice(slug, doomed.deviceId);
          await queries.invalidateQueries({ queryKey: key });
        }}
      />
    </Sheet>
  );
}

/** The one button for a lost phone. */
export function EverythingOut() {
  const words = useWords();
  const { slug } = useTenant();
  const [asking, setAsking] = useState(false);
  return (
    <Sheet className="flex flex-wrap items-center justify-between gap-3 p-4 sm:p-6">
      <p className="max-w-md text-s text-ink-2">{words.ownDevices.everywhereHint}</p>
      <Button onClick={() => setAsking(true)}>{words.ownDevices.everywhere}</Button>
      <ConfirmDialog
        open={asking}
        onClose={() => setAsking(false)}
        title={words.ownDevices.everywhereTitle}
        what={words.ownDevices.everywhereWhat}
        action={words.ownDevices.everywhere}
        onConfirm={async () => {
          await signOutEverywhere(slug);
          location.assign("/login");
        }}
      />
    </Sheet>
  );
}
