import { describe, expect, it } from "vitest";
import { AddressList, classifyAddress } from "./address.ts";

describe("an address", () => {
  it.each(["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1"])("%s is global", (address) => {
    expect(classifyAddress(address)).toBe("global");
  });

  it.each([
    "127.0.0.1",
    "10.1.2.3",
    "192.168.0.1",
    "100.64.0.1",
    "::1",
    "fd12::1",
    "::ffff:10.0.0.1",
    "64:ff9b::808:808",
  ])("%s is private", (address) => {
    expect(classifyAddress(address)).toBe("private");
  });

  it.each([
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "fd00:ec2::254",
    "::ffff:169.254.169.254",
    "::6464:64c8",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::",
    "fe80::1",
    "fe80::1%eth0",
    "::",
    "0.0.0.0",
    "224.0.0.1",
    "240.0.0.1",
    "ff02::1",
    "2001:db8::1",
    "4000::1",
    "nonsense",
    "",
  ])("%s is never reached", (address) => {
    expect(classifyAddress(address)).toBe("never");
  });
});

describe("a list of vouched hosts", () => {
  const list = new AddressList(["Ollama.lan", "127.0.0.1", "10.0.0.0/8", "fd00::/16", "::1"]);

  it("knows names exactly and addresses by range", () => {
    expect(list.hasName("ollama.lan")).toBe(true);
    expect(list.hasName("evil.ollama.lan")).toBe(false);
    expect(list.hasName("127.0.0.1")).toBe(false);
    for (const address of ["127.0.0.1", "10.9.9.9", "::ffff:10.0.0.1", "fd00::7", "::1"]) {
      expect(list.hasAddress(address), address).toBe(true);
    }
    for (const address of ["127.0.0.2", "11.0.0.1", "fd01::7", "ollama.lan"]) {
      expect(list.hasAddress(address), address).toBe(false);
    }
  });

  it("refuses a malformed range at once", () => {
    expect(() => new AddressList(["10.0.0.0/99"])).toThrow();
  });
});
