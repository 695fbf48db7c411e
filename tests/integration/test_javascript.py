"""The JavaScript package: its own tests, its examples against a suite, and two of its clients through a kill."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SkipTest, TestCase

from tests.examples.suite_case import SuiteCase
from tests.harness.daemons import ROOT, environment
from tests.harness.spawning import DaemonProcess
from tests.integration.browser_case import BrowserCase

NODE = shutil.which("node")
PACKAGE = ROOT / "web" / "cim"
PROGRAMS = re.findall(r"^```js\n(.*?)^```$", (ROOT / "docs" / "javascript.md").read_text(), re.MULTILINE | re.DOTALL)


def node():
    """Return the path of Node.

    :raises SkipTest: there is none
    """
    if NODE is None:
        raise SkipTest("there is no node here")
    return NODE


class OwnTests(TestCase):
    timeout = 120

    async def test_they_pass(self):
        for folder in "cim", "chat":
            tests = sorted(str(path) for path in (ROOT / "web" / folder / "tests").glob("*.test.js"))
            if tests:
                out, err, status = await getProcessOutputAndValue(node(), ["--test", *tests], env=os.environ)
                self.assertEqual((status, err.decode()), (0, ""), out.decode())


#: A program in TypeScript that uses the package as it is packed, and must compile.
PROGRAM = """
import { CIMError, createClient } from 'cim-im';
import { browserPorts } from 'cim-im/browser';
import { nodePorts } from 'cim-im/node';
import type { Message } from 'cim-im/types';
import { wxPorts } from 'cim-im/wx';

const client = createClient(nodePorts({ api: 'http://127.0.0.1:8083' }));
client.on('message', ({ text, position }: Message) => console.log(position, text.length));
// @ts-expect-error: a message is no number
client.on('message', (message: number) => console.log(message));
export const found: Promise<Message[]> = client.search('x', { limit: 3 });
export const code = (error: CIMError): string => error.code;
export const others = [browserPorts, wxPorts];
"""


class PackTests(TestCase):
    timeout = 120

    async def test_it_is_packed_with_declarations(self):
        node()
        modules = ROOT / "web" / "node_modules"
        if not (modules / "typescript").exists():
            raise SkipTest("there is no TypeScript here: `make lint` installs it")
        top = Path(self.mktemp()).absolute()
        shutil.copytree(PACKAGE, top / "web" / "cim", ignore=shutil.ignore_patterns("tests"))
        shutil.copy(ROOT / "LICENSE", top)
        os.symlink(modules, top / "web" / "node_modules")
        await self.run_(["npm", "pack", "--silent", "--pack-destination", str(top)], top / "web" / "cim")
        self.assertEqual(
            sorted(path.name for path in (top / "web" / "cim").glob("*.d.ts")), ["ports.d.ts", "types.d.ts"]
        )
        app = top / "app"
        installed = app / "node_modules" / "cim-im"
        installed.mkdir(parents=True)
        [packed] = top.glob("cim-im-*.tgz")
        await self.run_(["tar", "xzf", str(packed), "--strip-components=1"], installed)
        self.assertTrue((installed / "LICENSE").exists())
        os.symlink(modules / "@types", app / "node_modules" / "@types")
        (app / "main.ts").write_text(PROGRAM)
        options = ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--types", "node"]
        await self.run_([node(), str(modules / "typescript" / "bin" / "tsc"), *options, "main.ts"], app)
        said = await self.run_(
            [node(), "--input-type=module", "-e", "console.log(typeof (await import('cim-im')).createClient)"], app
        )
        self.assertEqual(said.strip(), "function")

    async def run_(self, command, folder):
        out, err, status = await getProcessOutputAndValue(
            shutil.which(command[0]), command[1:], env=os.environ, path=str(folder)
        )
        self.assertEqual(status, 0, (out + err).decode())
        return out.decode()


class ExampleTests(SuiteCase):
    async def run_(self, marker):
        [program] = [program for program in PROGRAMS if marker in program]
        modules = FilePath(self.directory).child("node_modules")
        if not modules.exists():
            modules.makedirs()
            os.symlink(PACKAGE, modules.child("cim-im").path)
        script = FilePath(self.directory).child("program.mjs")
        script.setContent(program.replace("http://127.0.0.1:8083", self.suite.url).encode())
        out, err, status = await getProcessOutputAndValue(
            node(), [script.path], env=environment({}), path=self.directory, reactor=self.reactor
        )
        self.assertEqual((status, err.decode()), (0, ""))
        return out.decode().splitlines()

    async def test_they_run_as_they_stand(self):
        self.assertEqual(await self.run_("console.log('stored')"), ["alice: hello, everyone", "stored"])
        self.assertEqual(await self.run_("makeGroup"), ["bob: not-found", "Is anyone awake? true"])
        await self.user("bob")
        self.assertEqual(await self.run_("makeGroup"), ["Is anyone awake? true"])
        said = "archivist 今天天气很好"
        self.assertEqual(await self.run_("client.search"), [said])
        self.assertEqual(await self.run_("client.search"), [said, said])


class ProcessCase(SuiteCase):
    def process(self, script, *arguments, ready):
        """Return a program of Node, to be started."""
        process = DaemonProcess(
            self.reactor,
            [node(), str(script), "--route", self.suite.url, *arguments],
            environment({}),
            self.directory,
            name=os.path.basename(script),
            ready_when=ready,
        )
        self.addCleanup(process.stop)
        return process


class EchoBotTests(ProcessCase):
    async def test_it_answers_what_was_said_while_it_did_not_run_and_nothing_twice(self):
        bot = self.process(ROOT / "examples" / "echo_bot.mjs", "--folder", "echo", ready="is online")
        await bot.start()
        alice, inbox = await self.user("alice")
        echo = await alice.user("echo")
        said = [f"第 {n} 👋\nline" for n in range(20)]
        for text in said:
            await alice.send(echo, text)
        await inbox.texts(*said)
        await bot.kill()
        await alice.send(echo, "meanwhile")
        await bot.start()
        await inbox.texts(*said, "meanwhile")
        await alice.send("g:0", "hello, all")
        await alice.send("g:0", "@echo ping")
        await inbox.texts(*said, "meanwhile", "ping")


class KillTests(ProcessCase):
    async def test_two_clients_lose_and_double_nothing_when_the_suite_is_killed(self):
        talk = self.process(PACKAGE / "tests" / "two_clients.mjs", ready="talking")
        await talk.start()
        for sent in 50, 100:
            await talk.wait_for_line(f"half-way {sent}", 60)
            await self.suite.kill()
            await self.suite.start()
        await talk.wait_for_exit(60)
        [result] = [json.loads(line) for line in talk.lines if line.startswith("{")]
        expected = [f"{name} {n}" for name in ("alice", "bob") for n in range(150)]
        for heard in result["alice"], result["bob"], result["log"]:
            self.assertEqual(sorted(heard), sorted(expected))
            for name in "alice", "bob":
                mine = [text for text in heard if text.startswith(name)]
                self.assertEqual(mine, [f"{name} {n}" for n in range(150)])


class BrowserTests(BrowserCase):
    def test_databases_of_a_browser(self):
        """IndexedDB keeps the contract of all databases, in a page of ours."""
        contract = (PACKAGE / "tests" / "storage_contract.js").read_text().replace("export async", "async")
        tab = self.profile().tab()
        [page] = re.findall("/web-[^/]*/", tab.run("return document.documentElement.outerHTML"))[:1]
        script = f"""{contract}
            const done = arguments[0];
            import("{page}cim/indexed_db.js")
                .then(({{ indexedDatabases }}) => contract(indexedDatabases, true))
                .then(done, (error) => done(String(error)));
        """
        self.assertEqual(tab.driver.execute_async_script(script), "kept")
