// What every database must do; it runs in browsers as well, so it stands alone.

/** @type {Record<string, import('../ports.js').Table>} */
const TABLES = {
  things: { key: ['box', 'number'], indexes: { colour: 'colour' } },
  notes: { key: 'name', ours: true },
};

/** @param {unknown} found
 * @param {unknown} expected
 * @param {string} what */
function same(found, expected, what) {
  const [one, other] = [JSON.stringify(found), JSON.stringify(expected)];
  if (one !== other) throw new Error(`${what}: ${one} instead of ${other}`);
}

/** @param {import('../ports.js').Databases} databases
 * @param {boolean} keeps whether what is stored is there after closing */
export async function contract(databases, keeps) {
  const name = `contract-${Math.random()}`;
  let storage = await databases.open(name, 1, TABLES);
  const thing = (/** @type {string} */ box, /** @type {string} */ number, /** @type {string} */ colour) => ({ box, number, colour });
  await storage.write(['things', 'notes'], async (transaction) => {
    for (const [box, number, colour] of [['b', '2', 'red'], ['a', '10', 'red'], ['a', '2', 'blue'], ['b', '1', 'red']]) {
      await transaction.put('things', thing(box, number, colour));
    }
    await transaction.put('things', { box: 'c', number: '1' });
    await transaction.put('notes', { name: 'one', bytes: new Uint8Array([0, 255]) });
    same(await transaction.get('things', ['a', '2']), thing('a', '2', 'blue'), 'what was put is read in the transaction');
  });
  /** @param {import('../ports.js').Range} range */
  const range = async (range) =>
    (await storage.read(['things'], (transaction) => transaction.range('things', range))).map(
      (/** @type {any} */ { box, number }) => `${box}${number}`,
    );
  same(await range({}), ['a10', 'a2', 'b1', 'b2', 'c1'], 'all, in the order of the keys');
  same(await storage.read(['things'], (transaction) => transaction.count('things')), 5, 'so many');
  same(await range({ from: ['a', '2'], to: ['b', '1'] }), ['a2', 'b1'], 'both ends are included');
  same(await range({ from: ['a'], to: ['a', ':'] }), ['a10', 'a2'], 'a shorter key is before those that it begins');
  same(await range({ down: true, limit: 2 }), ['c1', 'b2'], 'from the end on');
  same(await range({ to: ['b', '1'], down: true, limit: 2 }), ['b1', 'a2'], 'the last ones before');
  same(await range({ limit: 1 }), ['a10'], 'the first one');
  same(await range({ index: 'colour', from: 'red', to: 'red' }), ['a10', 'b1', 'b2'], 'by an index');
  same(await range({ index: 'colour', down: true, limit: 1 }), ['b2'], 'the last by an index');

  const failed = await storage
    .write(['things'], async (transaction) => {
      await transaction.put('things', thing('a', '2', 'green'));
      await transaction.remove('things', ['b', '1']);
      throw new Error('no');
    })
    .catch((error) => error.message);
  same(failed, 'no', 'an error comes out');
  same(await range({ index: 'colour' }), ['a2', 'a10', 'b1', 'b2'], 'nothing was done');

  await storage.write(['things'], async (transaction) => {
    await transaction.remove('things', ['a', '10']);
    await transaction.put('things', thing('b', '2', 'blue'));
  });
  same(await range({ index: 'colour', from: 'blue', to: 'blue' }), ['a2', 'b2'], 'indexes follow');

  // Two at a time: neither sees half of the other.
  const add = () =>
    storage.write(['notes'], async (transaction) => {
      const count = (await transaction.get('notes', 'count'))?.count ?? 0;
      await transaction.put('notes', { name: 'count', count: count + 1 });
    });
  await Promise.all([add(), add(), add()]);
  const note = (/** @type {string} */ key) => storage.read(['notes'], (transaction) => transaction.get('notes', key));
  same((await note('count')).count, 3, 'transactions come one after the other');

  if (keeps) {
    storage.close();
    storage = await databases.open(name, 1, TABLES);
    same(await range({}), ['a2', 'b1', 'b2', 'c1'], 'all is there again');
    same([...(await note('one')).bytes], [0, 255], 'bytes, too');
    storage.close();
    storage = await databases.open(name, 2, { ...TABLES, things: { key: 'other' } });
    same(await storage.read(['things'], (transaction) => transaction.range('things', {})), [], 'another version is empty');
    same([...(await note('one')).bytes], [0, 255], 'but for what is ours');
    storage.close();
    storage = await databases.open(name, 1, TABLES);
    same(await range({}), [], 'an older one, too');
    storage.close();
  }
  await databases.remove(name);
  storage = await databases.open(name, 1, TABLES);
  same(await note('one'), undefined, 'what is removed is gone');
  storage.close();
  await databases.remove(name);
  return 'kept';
}
