"""Who hears what: broadcasts, silence, stale sockets, reconnects."""

from __future__ import annotations


async def test_a_prompt_of_another_client_shows_as_status_only(client, picture_workflow):
    async with client.listen() as mine, client.listen() as other:
        await client.submit(picture_workflow(), mine.client_id)
        await mine.until_end()
        await client.http.post("/queue", json={"clear": True})
        seen = [await other.next() for _ in range(5)]
    assert {message["type"] for message in seen} == {"status"}


async def test_a_prompt_without_client_leaks_progress_to_everyone_and_nothing_else(
    client, sampler_workflow
):
    async with client.listen() as one, client.listen() as two:
        wish = {"preview_method": "latent2rgb"}
        prompt_id = await client.submit(sampler_workflow(steps=2), extra_data=wish)
        await client.finished(prompt_id)
        for listener in (one, two):
            await client.http.post("/queue", json={"clear": True})  # a last status to wait for
            seen = await listener.until("progress", value=2)
            seen += [await listener.next()]
            texts = {each["type"] for each in seen if isinstance(each, dict)}
            assert texts == {"status", "progress_state", "progress"}
            assert isinstance(seen[-1], bytes)


async def test_an_interrupt_without_client_is_told_to_everyone(client, sampler_workflow):
    async with client.listen() as listener:
        prompt_id = await client.submit(sampler_workflow(steps=10_000))
        await listener.until("progress")
        await client.http.post("/interrupt", json={"prompt_id": prompt_id})
        await listener.until("execution_interrupted", prompt_id=prompt_id)


async def test_nothing_is_replayed_to_a_client_that_comes_back_while_its_prompt_runs(
    client, recording, comparable, sampler_workflow
):
    async with client.listen("me") as listener:
        await client.submit(sampler_workflow(steps=10_000), "me")
        await listener.until("progress")
    async with client.listen("me") as again:
        greeting = [await again.next(), await again.next()]
        await again.until("progress")
        await client.http.post("/interrupt")
        await again.until_end()
    assert comparable(greeting) == comparable(recording("ws_reconnect.jsonl")[:2])


async def test_after_the_end_a_client_that_comes_back_gets_status_only(client, picture_workflow):
    await client.finished(await client.submit(picture_workflow(), "me"))
    await client.queue_empty()
    async with client.listen("me") as again:
        assert (await again.next())["type"] == "status"
        await client.http.post("/queue", json={"clear": True})
        assert (await again.next())["type"] == "status"


async def test_when_a_stale_socket_closes_the_newer_one_of_that_client_falls_silent(
    client, picture_workflow
):
    async with client.listen("me") as newer_holder:
        stale = newer_holder
        async with client.listen("me") as newer, client.listen("other") as other:
            await newer.next()
            await stale.socket.close()
            await client.submit(picture_workflow(), "me")
            await client.queue_empty()
            await other.next()
            while (await other.next())["data"]["status"]["exec_info"]["queue_remaining"]:
                pass
            await newer.socket.close()
            assert [message async for message in newer.socket] == []


async def test_the_newest_socket_of_a_client_gets_the_messages(client, picture_workflow):
    async with client.listen("me") as older, client.listen("me") as newer:
        await older.next()
        await client.submit(picture_workflow(), "me")
        await newer.until_end()
        await older.socket.close()
        assert [message async for message in older.socket] == []


async def test_a_client_without_id_is_given_one_and_hears_broadcasts(client, picture_workflow):
    import websockets

    url = client.running.url.replace("http", "ws", 1) + "/api/ws"
    async with websockets.connect(url) as socket, client.listen() as own:
        assert '"sid"' in await socket.recv()
        await client.submit(picture_workflow(), own.client_id)
        assert '"status"' in await socket.recv()
